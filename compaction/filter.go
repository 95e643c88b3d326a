package compaction

import (
	"fmt"
	"math"
	"time"

	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// filtering decides, batch by batch, what a pass keeps. Its rules are those of Apache
// Kafka's Cleaner and MemoryRecords.filterTo.
type filtering struct {
	*pass
	now            int64 // ms
	bytesMax       int
	aborted        aborted
	removed, bytes int64
}

// work replaces the work's batches by what is kept of them. The last one of the offsets
// that are compacted stays, without records if need be: so a reader is told how far
// the offsets go, and is never left before a hole.
func (f *filtering) work(w *work) (changed bool, err error) {
	kept := w.batches[:0:0]
	for k, b := range w.batches {
		if b.base >= f.end {
			kept = append(kept, b)
			continue
		}
		last := k+1 == len(w.batches) || w.batches[k+1].base >= f.end
		body, err := f.batch(b.body, b.base, last)
		if err != nil {
			return false, fmt.Errorf("the batch at offset %d: %w", b.base, err)
		}
		if len(body) != len(b.body) || &body[0] != &b.body[0] {
			changed = true
			f.bytes += int64(len(b.body) - len(body))
		}
		if body != nil {
			kept = append(kept, storedBatch{b.base, b.end, body})
		}
	}
	w.batches = kept
	return changed, nil
}

// batch returns what is kept of a batch: itself, another one, or nil.
func (f *filtering) batch(body []byte, base int64, last bool) ([]byte, error) {
	h, err := batch.Parse(body)
	if err != nil {
		return nil, err
	}
	if h.Control() {
		return f.marker(&h, body, last)
	}
	if h.Transactional() && h.Records > 0 {
		f.seen[h.ProducerID] = true
	}
	var got batch.Filtered
	if f.aborted.holdsAt(&h, base) {
		got.Records = int(h.Records)
	} else {
		horizon, marked := h.DeleteHorizon()
		got, err = batch.Filter(body, f.bytesMax, f.horizon(), func(r *batch.Record) bool {
			switch {
			case r.Key == nil: // from before the topic was compacted; it has no place in a table of keys
				return false
			case f.keys.offset(r.Key) > r.Offset:
				return false
			}
			return r.Value != nil || !marked || f.now < horizon
		})
		if err != nil {
			return nil, err
		}
	}
	f.removed += int64(got.Records - got.Kept)
	if got.Kept > 0 || !last {
		return got.Body, nil
	}
	if h.Records == 0 {
		return body, nil
	}
	return batch.Emptied(body), nil
}

// marker keeps a transaction's marker until a pass has met no record of it, and from
// then on for as long as tombstones are kept.
func (f *filtering) marker(h *batch.Header, body []byte, last bool) ([]byte, error) {
	needed := f.seen[h.ProducerID]
	delete(f.seen, h.ProducerID)
	if needed || last {
		return body, nil
	}
	if horizon, marked := h.DeleteHorizon(); marked {
		if f.now < horizon {
			return body, nil
		}
		return nil, nil
	}
	got, err := batch.Filter(body, f.bytesMax, f.horizon(), func(*batch.Record) bool { return true })
	return got.Body, err
}

// horizon is until when tombstones stay that this pass meets first.
func (f *filtering) horizon() int64 {
	keep := int64(f.policy.DeleteRetention / time.Millisecond)
	if keep > math.MaxInt64-f.now {
		return math.MaxInt64
	}
	return f.now + keep
}

// aborted are the aborted transactions of a work, by producer.
type aborted map[int64][]segment.Aborted

func abortedOf(w *work) aborted {
	a := aborted{}
	for _, t := range w.aborted {
		a[t.Producer] = append(a[t.Producer], t)
	}
	return a
}

// holdsAt tells whether the batch at an offset belongs to one of them.
func (a aborted) holdsAt(h *batch.Header, base int64) bool {
	if !h.Transactional() {
		return false
	}
	for _, t := range a[h.ProducerID] {
		if t.First <= base && base < t.Last {
			return true
		}
	}
	return false
}
