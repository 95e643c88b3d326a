package compaction

import (
	"context"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// smallRowsMax is how many rows of small extents one statement reads.
const smallRowsMax = 1000

// mergeAgain merges the shard's small extents of partition segments into larger ones.
func (c *Compactor) mergeAgain(ctx context.Context, i int) error {
	var works []*work
	bytes := int64(0)
	flush := func() error {
		defer func() { works, bytes = nil, 0 }()
		if len(works) == 0 {
			return nil
		}
		return c.rewrite(ctx, i, works)
	}
	err := c.eachSmall(ctx, i, func(rows []metastore.ExtentRow) error {
		chosen := planAgain(rows, c.cfg.Fan)
		if len(chosen) == 0 {
			return nil
		}
		w, err := c.workAgain(chosen, c.rewriteMax(chosen[0].Topic))
		if err != nil || w == nil || len(w.removed) < 2 {
			return err
		}
		if w.was > c.cfg.JobBytesMax {
			return c.rewriteLarge(ctx, i, w)
		}
		if bytes > 0 && (bytes+w.was > c.cfg.JobBytesMax || len(works) == c.cfg.PartitionsMax) {
			if err := flush(); err != nil {
				return err
			}
		}
		works = append(works, w)
		bytes += w.was
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// eachSmall calls f with the small extents of each of a shard's partitions.
func (c *Compactor) eachSmall(ctx context.Context, i int, f func([]metastore.ExtentRow) error) error {
	var rows []metastore.ExtentRow
	q := metastore.ExtentQuery{Order: metastore.Small, Shard: i, After: metastore.ExtentsBegin(), Limit: smallRowsMax}
	for {
		more, err := c.deps.Store.Extents(ctx, q)
		if err != nil {
			return fmt.Errorf("look for small extents: %w", err)
		}
		for _, row := range more {
			if n := len(rows); n > 0 && (rows[n-1].Topic != row.Topic || rows[n-1].Partition != row.Partition) {
				if err := f(rows); err != nil {
					return err
				}
				rows = nil
			}
			rows = append(rows, row)
			q.After = row.Key()
		}
		if len(more) < q.Limit {
			break
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return f(rows)
}

// workAgain is what a job does with consecutive rows of a partition, at most bytesMax of
// them, but one at least; nil for a partition that has stopped, or isn't open any more.
func (c *Compactor) workAgain(rows []metastore.ExtentRow, bytesMax int64) (*work, error) {
	id := shard.PartitionID{Topic: rows[0].Topic, Index: rows[0].Partition}
	w := &work{id: id, from: rows[0].Base}
	open, compacted := false, true
	metastore.View(c.deps.Replica(rows[0].Shard), func(s *shard.State) {
		w.topic, _ = s.TopicID(id.Topic)
		_, open = s.Merged(id)
	})
	if !open || c.rests(id) {
		return nil, nil
	}
	seen := map[segment.Aborted]bool{}
	for i := range rows {
		row := &rows[i]
		if len(w.removed) > 0 && w.was+row.Length > bytesMax {
			break
		}
		segmentID, ok := segment.ParseKey(row.Object)
		x, err := segment.ParseIndex(row.Index, row.Base, row.End, row.Length)
		if !ok || err != nil {
			c.stop(id, fmt.Errorf("%w: the row of offset %d in %s: %w", errDamaged, row.Base, row.Object, err))
			return nil, nil
		}
		w.sources = append(w.sources, source{
			extent: shard.Extent{BaseOffset: row.Base, MaxTimestamp: row.MaxTimestamp, Segment: segmentID, Position: row.Position, Length: row.Length},
			blocks: x.Blocks, end: row.End,
		})
		for _, a := range x.Aborted {
			if !seen[a] {
				seen[a] = true
				w.aborted = append(w.aborted, a)
			}
		}
		w.removed = append(w.removed, row.Key())
		w.was += row.Length
		w.to = row.End
		compacted = compacted && x.Compacted
	}
	if compacted {
		w.compactedTo = w.to
	}
	return w, nil
}

// rewrite is one job over rows: it exchanges them for those of its output.
func (c *Compactor) rewrite(ctx context.Context, i int, works []*work) error {
	works, err := c.read(ctx, works)
	if err != nil || len(works) == 0 {
		return err
	}
	stood, err := c.exchange(ctx, i, works)
	if stood != nil {
		c.Stats.Remerges.Add(1)
	}
	return err
}

// exchange writes the works' batches and swaps their rows for the output's; see swap.
func (c *Compactor) exchange(ctx context.Context, i int, works []*work) ([]bool, error) {
	out, err := c.write(ctx, i, works)
	if err != nil {
		return nil, c.tooLarge(works, err)
	}
	return c.swapRows(ctx, i, works, out)
}

// swapRows swaps the works' rows for the output's; see swap.
func (c *Compactor) swapRows(ctx context.Context, i int, works []*work, out *output) ([]bool, error) {
	bytes := lengths(out)
	var effects []byte
	var removed []metastore.ExtentKey
	for _, w := range works {
		effects = shard.AppendSwap(effects, shard.Swap{Partition: w.id, Rewrite: true, Bytes: bytes[w.id] - w.was})
		removed = append(removed, w.removed...)
	}
	stood, err := c.swap(ctx, i, effects, out, removed)
	for k := range stood {
		c.worked(works[k].id)
	}
	return stood, err
}
