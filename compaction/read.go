package compaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// stretch is what one GET reads: sources of one segment that lie side by side.
type stretch struct {
	id         segment.ID
	begin, end int64
	sources    []*source
}

// stretches groups the sources of all works into GETs. Gaps of up to gapMax bytes are
// read as well; a stretch has at most bytesMax, unless one source has more.
func stretches(works []*work, gapMax, bytesMax int64) []*stretch {
	var all []*source
	for _, w := range works {
		for k := range w.sources {
			if s := &w.sources[k]; s.extent.Length > 0 && !s.extent.IsMarker() {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, b *source) int {
		return cmp.Or(a.extent.Segment.Compare(b.extent.Segment), cmp.Compare(a.extent.Position, b.extent.Position))
	})
	var out []*stretch
	for _, s := range all {
		e := &s.extent
		if n := len(out); n > 0 {
			last := out[n-1]
			if last.id == e.Segment && e.Position-last.end <= gapMax && e.Position+e.Length-last.begin <= bytesMax {
				last.end = max(last.end, e.Position+e.Length)
				last.sources = append(last.sources, s)
				continue
			}
		}
		out = append(out, &stretch{id: e.Segment, begin: e.Position, end: e.Position + e.Length, sources: []*source{s}})
	}
	return out
}

// stretchBytesMax bounds one GET.
const stretchBytesMax = 16 << 20

// read reads and checks the sources of the works. A work whose source can't be read is left
// out and tried again later; one whose source is damaged, read a second time too, is
// stopped. What it returns is complete.
func (c *Compactor) read(ctx context.Context, works []*work) ([]*work, error) {
	whole, damaged, err := c.readOnce(ctx, works, &c.space.source)
	if err != nil || len(damaged) == 0 {
		return whole, err
	}
	// Bits flip on the way too: what the bucket holds is wrong only if it is so again.
	again, damaged, err := c.readOnce(ctx, damaged, new([]byte)) // the others' bytes stay
	if err != nil {
		return nil, err
	}
	for _, w := range damaged {
		c.stop(w.id, w.damage)
	}
	whole = append(whole, again...)
	slices.SortFunc(whole, func(a, b *work) int { return a.id.Compare(b.id) })
	return whole, nil
}

// readOnce reads and checks the sources of the works, whose bytes are in into afterwards. It puts off those that can't be read.
func (c *Compactor) readOnce(ctx context.Context, works []*work, into *[]byte) (whole, damaged []*work, err error) {
	if err := c.load(ctx, works, into); err != nil {
		return nil, nil, err
	}
	var unread []shard.PartitionID
	var why error
	for _, w := range works {
		if err := w.failure(); err != nil {
			unread, why = append(unread, w.id), err
			continue
		}
		if err := c.pace.pause(ctx); err != nil {
			return nil, nil, err
		}
		c.readable(w.id)
		if w.damage = w.check(); w.damage != nil {
			damaged = append(damaged, w)
		} else {
			whole = append(whole, w)
		}
	}
	if len(unread) > 0 {
		c.tryLater(why, unread...)
	}
	return whole, damaged, nil
}

// load reads the sources' bytes, as far as the bucket gives them, over what was there.
func (c *Compactor) load(ctx context.Context, works []*work, into *[]byte) error {
	group, getting := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.ReadsMax)
	all, bytes := stretches(works, c.cfg.GapBytesMax, stretchBytesMax), int64(0)
	for _, st := range all {
		bytes += st.end - st.begin
	}
	memory := room(into, bytes)
	for _, st := range all {
		body := memory[:st.end-st.begin]
		memory = memory[len(body):]
		if err := c.pace.take(ctx, st.end-st.begin); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			n, err := c.deps.Bucket.GetInto(getting, st.id.Key(), st.begin, body)
			c.Stats.BytesRead.Add(int64(n))
			for _, s := range st.sources {
				at := s.extent.Position - st.begin
				s.body, s.failure = nil, err
				if err == nil && at+s.extent.Length <= int64(n) { // else the object ends before it does
					s.body = body[at : at+s.extent.Length]
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// failure returns why a source of the work could not be read, nil if all were.
func (w *work) failure() error {
	for k := range w.sources {
		if s := &w.sources[k]; s.failure != nil {
			return fmt.Errorf("read %s: %w", s.extent.Segment.Key(), s.failure)
		}
	}
	return nil
}

// check takes the work's batches out of the sources' bytes: each whole, with the right
// CRC, at its offset, all of them as many offsets as their extents say.
func (w *work) check() error {
	w.batches = nil
	for k := range w.sources {
		s := &w.sources[k]
		e := &s.extent
		switch {
		case e.Segment.Merged:
			if err := w.checkMerged(s); err != nil {
				return err
			}
			continue
		case e.IsMarker():
			w.keep(e.BaseOffset, e.End(), e.AppendControl(nil))
			continue
		case s.body == nil:
			return fmt.Errorf("%w: %s ends before its extent", errDamaged, e.Segment.Key())
		}
		base := e.BaseOffset
		for rest := s.body; len(rest) > 0; {
			h, err := batch.Verify(rest)
			if err == nil {
				err = h.CheckEpoch()
			}
			if err != nil {
				return fmt.Errorf("%w: %s at offset %d: %w", errDamaged, e.Segment.Key(), base, err)
			}
			end := base + int64(h.LastOffsetDelta) + 1
			if h.LastOffsetDelta < 0 || end > e.End() {
				return fmt.Errorf("%w: %s: a batch of offsets %d to %d in an extent to %d", errDamaged, e.Segment.Key(), base, end, e.End())
			}
			w.keep(base, end, rest[:h.Size()])
			base, rest = end, rest[h.Size():]
		}
		if base != e.End() {
			return fmt.Errorf("%w: %s: batches end at offset %d, their extent at %d", errDamaged, e.Segment.Key(), base, e.End())
		}
	}
	return nil
}

// checkMerged takes the batches of an extent of a partition segment.
func (w *work) checkMerged(s *source) error {
	e := &s.extent
	if s.body == nil && e.Length > 0 {
		return fmt.Errorf("%w: %s ends before its extent", errDamaged, e.Segment.Key())
	}
	for k, b := range s.blocks {
		end := s.end
		if k+1 < len(s.blocks) {
			end = s.blocks[k+1].Base
		}
		data := s.body[b.Position : b.Position+b.Length]
		if err := b.Verify(data, end); err != nil {
			return fmt.Errorf("%w: %s: %w", errDamaged, e.Segment.Key(), err)
		}
		for len(data) > 0 {
			h, err := batch.Verify(data)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", errDamaged, e.Segment.Key(), err)
			}
			w.keep(h.BaseOffset, h.LastOffset()+1, data[:h.Size()])
			data = data[h.Size():]
		}
	}
	return nil
}

// keep adds a batch that has offsets of the work's.
func (w *work) keep(base, end int64, body []byte) {
	if end > w.from && base < w.to {
		w.batches = append(w.batches, storedBatch{base, end, body})
	}
}
