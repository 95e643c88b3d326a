package transaction

import (
	"fmt"
	"io"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Describe returns an effect in words, on one line.
func Describe(kind metastore.EffectKind, body []byte) (string, error) {
	d := &metastore.Decoder{Rest: body}
	var b strings.Builder
	fmt.Fprintf(&b, "%v", kind)
	switch kind {
	case metastore.EffectTransactionInit:
		x := decodeInit(d)
		fmt.Fprintf(&b, " id=%q expect=%d %v timeout=%d", x.ID, x.Expect, x.Identity, x.TimeoutMs)
	case metastore.EffectTransactionAdded:
		x := decodeAdded(d)
		fmt.Fprintf(&b, " id=%q producer=%d epoch=%d version2=%t begin=%t seen=%d topics=%v groups=%q",
			x.ID, x.ProducerID, x.Epoch, x.Version2, x.Begin, x.Seen, x.Topics, x.Groups)
	case metastore.EffectTransactionDecided:
		x := decodeDecided(d)
		fmt.Fprintf(&b, " id=%q producer=%d epoch=%d transaction=%d ongoing=%t commit=%t version2=%t next={%v} marker-epoch=%d",
			x.ID, x.ProducerID, x.Epoch, x.Number, x.Ongoing, x.Commit, x.Version2, x.Next, x.MarkerEpoch)
		if x.Complete {
			fmt.Fprintf(&b, " complete partitions=%d groups=%d", x.Partitions, x.Groups)
		}
	case metastore.EffectTransactionCompleted:
		x := decodeCompletion(d)
		fmt.Fprintf(&b, " id=%q transaction=%d", x.ID, x.Number)
	case metastore.EffectTransactionRemoved:
		x := decodeRemoval(d)
		fmt.Fprintf(&b, " id=%q expect=%d", x.ID, x.Expect)
	default:
		d.Fail(fmt.Sprintf("a transactions journal has no %v", kind))
	}
	if err := atEnd(d); err != nil {
		return "", err
	}
	return b.String(), nil
}

func (i Identity) String() string {
	return fmt.Sprintf("producer=%d epoch=%d previous=%d/%d", i.ProducerID, i.Epoch, i.PreviousProducerID, i.PreviousEpoch)
}

func (t Topic) String() string {
	return fmt.Sprintf("%d(shard %d)%v", t.Number, t.FirstShard, t.Partitions)
}

// Dump writes the state in words.
func (s *State) Dump(w io.Writer) error {
	var b strings.Builder
	for _, id := range s.IDs() {
		t := s.ids[id]
		fmt.Fprintf(&b, "id %q written=%d %v timeout=%d %v version2=%t transaction=%d topics=%v groups=%q started=%d updated=%d",
			id, t.Written, t.Identity, t.TimeoutMs, t.Status, t.Version2, t.Number, t.Topics, t.Groups, t.Started, t.Updated)
		if t.Status.Prepared() {
			fmt.Fprintf(&b, " ending=%d/%d", t.EndingProducerID, t.EndingEpoch)
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
