package transaction

import (
	"encoding/binary"
	"math"

	"github.com/wadi-io/wadi/metastore"
)

// snapshotFormat opens the snapshot of a transactions journal. Persisted.
const snapshotFormat = 1

// idBytesMin is the shortest coding of an id.
const idBytesMin = 15

// AppendSnapshot appends the state's encoding: the format byte, and the ids in order.
func (s *State) AppendSnapshot(dst []byte) []byte {
	dst = append(dst, snapshotFormat)
	ids := s.IDs()
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		t := s.ids[id]
		dst = appendID(dst, id)
		dst = binary.AppendUvarint(dst, uint64(t.Written))
		dst = appendUint(appendIdentity(dst, t.Identity), t.TimeoutMs)
		dst = append(dst, byte(t.Status)<<1|bit(t.Version2, 1))
		dst = binary.AppendUvarint(dst, t.Number)
		dst = appendGroups(appendTopics(dst, t.Topics), t.Groups)
		dst = binary.AppendVarint(dst, t.Updated)
		dst = binary.AppendVarint(dst, t.Started)
		if t.Status.Prepared() {
			dst = appendUint(appendUint(dst, t.EndingProducerID), t.EndingEpoch)
		}
	}
	return dst
}

// Restore replaces the state by the one encoded. After an error the state is as it was.
func (s *State) Restore(snapshot []byte) error {
	d := &metastore.Decoder{Rest: snapshot}
	if f := d.Fixed(1); d.Err == nil && f[0] != snapshotFormat {
		d.Fail("unknown format of a snapshot of transactions")
	}
	restored := New()
	before := ""
	for range d.Count(idBytesMin) {
		t := restoreID(d)
		if d.Err == nil && t.ID <= before {
			d.Fail("transactional ids out of order")
		}
		for _, p := range t.inUse() {
			if !restored.free(p, t.ID) {
				d.Fail("a producer id of two transactional ids")
			}
		}
		if d.Err != nil {
			return d.Err
		}
		restored.put(t.ID, t)
		before = t.ID
	}
	if err := atEnd(d); err != nil {
		return err
	}
	*s = *restored
	return nil
}

func restoreID(d *metastore.Decoder) *Transaction {
	t := &Transaction{
		ID:        decodeID(d),
		Written:   metastore.Version(d.Uvarint()),
		Identity:  decodeIdentity(d),
		TimeoutMs: int32(decodeUint(d, math.MaxInt32, "time-out")),
	}
	if b := d.Fixed(1); d.Err == nil {
		t.Status, t.Version2 = Status(b[0]>>1), b[0]&1 == 1
	}
	t.Number = d.Uvarint()
	t.Topics, t.Groups = decodeTopics(d), decodeGroups(d)
	t.Updated, t.Started = d.Varint(), d.Varint()
	if t.Status.Prepared() {
		t.EndingProducerID = decodeUint(d, math.MaxInt64, "producer")
		t.EndingEpoch = int16(decodeUint(d, math.MaxInt16, "epoch"))
	}
	held := t.Status == Ongoing || t.Status.Prepared()
	if d.Err == nil && (t.Status >= statusEnd || !held && (len(t.Topics) > 0 || len(t.Groups) > 0) || t.Written == 0) {
		d.Fail("transactional id out of range")
	}
	return t
}
