package compaction

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// jobsMax bounds the merges of one look at a shard, so that every shard has its turn.
const jobsMax = 8

// Merge merges what a shard has below its partitions' last stable offsets, and then
// its small extents again.
func (c *Compactor) Merge(ctx context.Context, i int) error {
	c.space.forMerging()
	for range jobsMax {
		works := c.plan(i)
		if len(works) == 0 {
			break
		}
		if err := c.merge(ctx, i, works); err != nil {
			return err
		}
	}
	return c.mergeAgain(ctx, i)
}

// merge is one job over extents that shards' states hold.
func (c *Compactor) merge(ctx context.Context, i int, works []*work) error {
	works, err := c.read(ctx, works)
	if err != nil || len(works) == 0 {
		return err
	}
	out, err := c.write(ctx, i, works)
	if err != nil {
		return c.tooLarge(works, err)
	}
	bytes := lengths(out)
	var effects []byte
	for _, w := range works {
		effects = shard.AppendSwap(effects, shard.Swap{Partition: w.id, Expected: w.expected, To: w.to, Bytes: bytes[w.id]})
	}
	stood, err := c.swap(ctx, i, effects, out, nil)
	if err != nil || stood == nil {
		return err
	}
	c.Stats.Merges.Add(1)
	for k, w := range works {
		c.worked(w.id)
		if stood[k] {
			c.Stats.MergedExtents.Add(int64(len(w.sources)))
		} // Else its topic was deleted meanwhile: the sweep removes the rows.
	}
	return nil
}

// tooLarge stops the partition whose index can't be coded, so that the others' next job goes on.
func (c *Compactor) tooLarge(works []*work, err error) error {
	if !errors.Is(err, errIndex) {
		return err
	}
	for _, w := range works {
		if len(w.aborted) > abortedMax {
			c.stop(w.id, err)
		}
	}
	return err
}

// lengths adds up the bytes of each partition's extents.
func lengths(out *output) map[shard.PartitionID]int64 {
	bytes := map[shard.PartitionID]int64{}
	for k := range out.extents {
		e := &out.extents[k]
		bytes[shard.PartitionID{Topic: e.Topic, Index: e.Partition}] += e.Length
	}
	return bytes
}

// swap appends the effects with the rows of an output. It returns which effects stood,
// or nil where another job has been over the same offsets: then the output is garbage.
func (c *Compactor) swap(ctx context.Context, i int, effects []byte, out *output, removed []metastore.ExtentKey) ([]bool, error) {
	rows := metastore.Rows{
		Segments: []metastore.SegmentRow{{Object: out.id.Key(), Size: out.size}},
		Removed:  removed,
		Extents:  out.extents,
	}
	landed, err := c.deps.Writer.AppendRows(ctx, []metastore.Draft{{Journal: metastore.ShardJournal(i), Effects: effects}}, rows)
	if errors.Is(err, metastore.ErrRowsTaken) {
		c.Stats.MergesLost.Add(1)
		c.cfg.Log.Info("another agent has merged these offsets", "shard", i, "segment", out.id.Key())
		return nil, c.deps.Refresh(ctx, metastore.ShardJournal(i))
	}
	if err != nil {
		return nil, fmt.Errorf("swap in %s: %w", out.id.Key(), err)
	}
	// Durable: readers plan the rows as soon as their replicas have folded the swap; plans
	// made before it read the old segments, which stay for the grace.
	stood := make([]bool, 0, len(landed.Parts[0].Outcomes))
	for _, o := range landed.Parts[0].Outcomes {
		stood = append(stood, o.(bool))
	}
	return stood, nil
}
