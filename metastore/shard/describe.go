package shard

import (
	"fmt"
	"io"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Describe returns an effect in words: one line, and one more for each batch of a flush.
func Describe(kind metastore.EffectKind, body []byte) (string, error) {
	d := metastore.Decoder{Rest: body}
	var text string
	switch kind {
	case metastore.EffectFlush:
		text = describeFlush(&d)
	case metastore.EffectFence:
		f := decodeFence(&d)
		text = fmt.Sprintf("fence partition=%v producer=%d epoch=%d expects %v", f.Partition, f.Producer, f.Epoch, f.Expect)
	case metastore.EffectForgetProducer:
		f := decodeForget(&d)
		text = fmt.Sprintf("forget-producer partition=%v producer=%d expects %v", f.Partition, f.Producer, f.expect())
		if f.Ended != NoTransaction {
			text += fmt.Sprintf(" ended=%d", f.Ended)
		}
	case metastore.EffectMarker:
		m := decodeMarker(&d)
		text = fmt.Sprintf("marker producer=%d transaction=%d epoch=%d commit=%t coordinator-epoch=%d timestamp=%d partitions=%v",
			m.Producer, m.Transaction, m.Epoch, m.Commit, m.CoordinatorEpoch, m.Timestamp, m.Partitions)
	case metastore.EffectLogStart:
		l := decodeLogStart(&d)
		text = fmt.Sprintf("log-start partition=%v offset=%d", l.partition, l.offset)
	case metastore.EffectSwap:
		w := decodeSwap(&d)
		text = fmt.Sprintf("swap partition=%v merged=%d..%d bytes=%+d", w.Partition, w.Expected, w.To, w.Bytes)
		if w.Rewrite {
			text = fmt.Sprintf("swap partition=%v rewritten bytes=%+d", w.Partition, w.Bytes)
		}
	case metastore.EffectArchived:
		a := decodeArchived(&d)
		text = fmt.Sprintf("archived partition=%v offsets=%d..%d", a.Partition, a.Expected, a.To)
	case metastore.EffectJump:
		j := decodeJump(&d)
		text = fmt.Sprintf("jump partition=%v offset=%d", j.partition, j.offset)
	case metastore.EffectPartitionsOpened:
		o := decodeOpened(&d)
		text = fmt.Sprintf("partitions-opened topic=%d id=%x first=%d stride=%d count=%d", o.Topic, o.ID, o.First, o.Stride, o.Count)
	case metastore.EffectPartitionsClosed:
		text = fmt.Sprintf("partitions-closed topic=%d", d.Uvarint())
	default:
		d.Fail(fmt.Sprintf("a shard has no %v", kind))
	}
	if err := atEnd(&d); err != nil {
		return "", err
	}
	return text, nil
}

func (e Expected) String() string {
	if e.Unknown {
		return "unknown"
	}
	return fmt.Sprintf("epoch=%d last=%d", e.Epoch, e.Last)
}

func describeFlush(d *metastore.Decoder) string {
	r := readFlush(d)
	var w strings.Builder
	fmt.Fprintf(&w, "flush segment=%d batches=%d", r.segment, r.count)
	for range r.count {
		if r.next() != nil {
			return ""
		}
		b := r.batch
		fmt.Fprintf(&w, "\n  partition=%v position=%d length=%d offsets=%d max-timestamp=%d", b.Partition, b.Position, b.Length, b.Offsets, b.MaxTimestamp)
		if b.LogAppendTime {
			w.WriteString(" log-append-time")
		}
		if b.ProducerID >= 0 {
			fmt.Fprintf(&w, " producer=%d epoch=%d sequence=%d", b.ProducerID, b.Epoch, b.BaseSequence)
		}
		if b.Transaction != NoTransaction {
			fmt.Fprintf(&w, " transaction=%d", b.Transaction)
		}
	}
	return w.String()
}

// Dump writes the state in words.
func (s *State) Dump(w io.Writer) error {
	var b strings.Builder
	for _, t := range s.sorted() {
		fmt.Fprintf(&b, "topic %d id=%x stride=%d\n", t.number, t.id, t.stride)
		for _, p := range t.partitions {
			fmt.Fprintf(&b, "  partition %v log-start=%d high-watermark=%d\n", p.id, p.logStart, p.highWatermark)
			if m := p.merged; m != (Merged{}) {
				fmt.Fprintf(&b, "    merged to=%d bytes=%d version=%d\n", m.To, m.Bytes, m.Version)
			}
			if p.archived > 0 {
				fmt.Fprintf(&b, "    archived to=%d\n", p.archived)
			}
			for i := range p.extents {
				e := p.extent(i)
				if m := e.Marker; e.IsMarker() {
					fmt.Fprintf(&b, "    marker offset=%d timestamp=%d producer=%d epoch=%d commit=%t coordinator-epoch=%d\n",
						e.BaseOffset, e.MaxTimestamp, m.ProducerID, m.Epoch, m.Commit, m.CoordinatorEpoch)
					continue
				}
				fmt.Fprintf(&b, "    extent offsets=%d..%d max-timestamp=%d segment=%d/%d position=%d length=%d\n",
					e.BaseOffset, e.End()-1, e.MaxTimestamp, e.Segment.Term, e.Segment.Number, e.Position, e.Length)
			}
			for _, slot := range p.producers {
				x := slot.state
				if x.known {
					fmt.Fprintf(&b, "    producer %d epoch=%d last=%d closed=%t touched=%d\n", slot.id, x.epoch, x.last, x.closed, x.touched)
				} else {
					fmt.Fprintf(&b, "    producer %d unknown touched=%d\n", slot.id, x.touched)
				}
				if t := x.transactions; t != nil {
					fmt.Fprintf(&b, "      transactions ended=%d open=%d first=%d coordinator-epoch=%d\n", t.ended, t.open, t.first, t.coordinator)
				}
				for _, e := range x.window[:x.batches] {
					fmt.Fprintf(&b, "      epoch=%d sequences=%d..%d base=%d log-append-time=%d\n", x.windowEpoch, e.first, e.last, e.base, e.logAppendTime)
				}
			}
			for _, a := range p.aborted {
				fmt.Fprintf(&b, "    aborted producer=%d offsets=%d..%d stable=%d\n", a.producer, a.first, a.last, a.stable)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
