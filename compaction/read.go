package compaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// errSource says that a partition's source can't be read or isn't what was written.
var errSource = errors.New("a source can't be merged")

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

// read reads and checks the sources of the works. A work whose source can't be read, or
// is wrong, is stopped and left out; what it returns is complete.
func (c *Compactor) read(ctx context.Context, works []*work) ([]*work, error) {
	group, getting := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.ReadsMax)
	failures := map[segment.ID]error{}
	results := make(chan error, 1)
	results <- nil // a lock for failures that a select can't forget
	for _, st := range stretches(works, c.cfg.GapBytesMax, stretchBytesMax) {
		if err := c.pace.take(ctx, st.end-st.begin); err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			body := make([]byte, st.end-st.begin)
			n, err := c.deps.Bucket.GetInto(getting, st.id.Key(), st.begin, body)
			if err == nil && n < len(body) {
				err = fmt.Errorf("%s ends at %d, its extent at %d", st.id.Key(), st.begin+int64(n), st.end)
			}
			c.Stats.BytesRead.Add(int64(n))
			if err != nil {
				<-results
				failures[st.id] = err
				results <- nil
				return ctx.Err()
			}
			for _, s := range st.sources {
				at := s.extent.Position - st.begin
				s.body = body[at : at+s.extent.Length]
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var whole []*work
	for _, w := range works {
		err := w.check()
		if err != nil {
			for _, s := range w.sources {
				if failure := failures[s.extent.Segment]; failure != nil && s.body == nil {
					err = fmt.Errorf("%w: %w", errSource, failure)
					break
				}
			}
			c.stop(w.id, err)
			continue
		}
		whole = append(whole, w)
	}
	return whole, nil
}

// check takes the work's batches out of the sources' bytes: each whole, with the right
// CRC, at its offset, all of them as many offsets as their extents say.
func (w *work) check() error {
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
			return fmt.Errorf("%w: %s could not be read", errSource, e.Segment.Key())
		}
		base := e.BaseOffset
		for rest := s.body; len(rest) > 0; {
			h, err := batch.Verify(rest)
			if err != nil {
				return fmt.Errorf("%w: %s at offset %d: %w", errSource, e.Segment.Key(), base, err)
			}
			end := base + int64(h.LastOffsetDelta) + 1
			if h.LastOffsetDelta < 0 || end > e.End() {
				return fmt.Errorf("%w: %s: a batch of offsets %d to %d in an extent to %d", errSource, e.Segment.Key(), base, end, e.End())
			}
			w.keep(base, end, rest[:h.Size()])
			base, rest = end, rest[h.Size():]
		}
		if base != e.End() {
			return fmt.Errorf("%w: %s: batches end at offset %d, their extent at %d", errSource, e.Segment.Key(), base, e.End())
		}
	}
	return nil
}

// checkMerged takes the batches of an extent of a partition segment.
func (w *work) checkMerged(s *source) error {
	e := &s.extent
	if s.body == nil && e.Length > 0 {
		return fmt.Errorf("%w: %s could not be read", errSource, e.Segment.Key())
	}
	for k, b := range s.blocks {
		end := s.end
		if k+1 < len(s.blocks) {
			end = s.blocks[k+1].Base
		}
		data := s.body[b.Position : b.Position+b.Length]
		if err := b.Verify(data, end); err != nil {
			return fmt.Errorf("%w: %s: %w", errSource, e.Segment.Key(), err)
		}
		for len(data) > 0 {
			h, err := batch.Verify(data)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", errSource, e.Segment.Key(), err)
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
