package compaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// removal gathers rows that go in one append.
type removal struct {
	rows  []metastore.ExtentKey
	bytes map[shard.PartitionID]int64
}

func (m *removal) add(row *metastore.ExtentRow) {
	if m.bytes == nil {
		m.bytes = map[shard.PartitionID]int64{}
	}
	m.rows = append(m.rows, row.Key())
	m.bytes[shard.PartitionID{Topic: row.Topic, Index: row.Partition}] += row.Length
}

// Remove removes the rows of a shard's partitions that lie wholly below their log
// starts, as the replica has folded them.
func (c *Compactor) Remove(ctx context.Context, i int) error {
	type below struct {
		id       shard.PartitionID
		logStart int64
	}
	var parts []below
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		for _, id := range s.Partitions() {
			merged, _ := s.Merged(id)
			logStart, _, _, _ := s.Bounds(id)
			if merged.To > 0 && logStart > 0 && merged.Bytes > 0 {
				parts = append(parts, below{id, logStart})
			}
		}
	})
	var m removal
	for _, p := range parts {
		if was, ok := c.retention[p.id]; ok && was.logStart == p.logStart && was.dead == 0 {
			continue // looked at, and nothing of it was below
		}
		for more := true; more; {
			rows, err := c.deps.Store.Extents(ctx, metastore.ExtentQuery{Topic: p.id.Topic, Partition: p.id.Index, Limit: retainRowsMax})
			if err != nil {
				return fmt.Errorf("read the extents of partition %v: %w", p.id, err)
			}
			more = false
			for k := range rows {
				if rows[k].End > p.logStart {
					break
				}
				m.add(&rows[k])
				more = k == retainRowsMax-1
			}
			if len(m.rows) >= c.cfg.RemoveRowsMax || more {
				if err := c.remove(ctx, i, &m); err != nil {
					return err
				}
			}
		}
	}
	return c.remove(ctx, i, &m)
}

// remove removes rows of a shard. Their segments are retired with their last extents,
// and readers whose replicas have not folded it yet find them in the bucket for the grace.
func (c *Compactor) remove(ctx context.Context, i int, m *removal) error {
	if len(m.rows) == 0 {
		return nil
	}
	defer func() { *m = removal{} }()
	var ids []shard.PartitionID
	for id := range m.bytes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, shard.PartitionID.Compare)
	var effects []byte
	for _, id := range ids {
		effects = shard.AppendSwap(effects, shard.Swap{Partition: id, Rewrite: true, Bytes: -m.bytes[id]})
	}
	_, err := c.deps.Writer.AppendRows(ctx, []metastore.Draft{{Journal: metastore.ShardJournal(i), Effects: effects}}, metastore.Rows{Removed: m.rows})
	if errors.Is(err, metastore.ErrRowsTaken) {
		return c.deps.Refresh(ctx, metastore.ShardJournal(i)) // another agent removed or merged them: the next pass looks anew
	}
	if err != nil {
		return fmt.Errorf("remove %d extents of shard %d: %w", len(m.rows), i, err)
	}
	c.Stats.RowsRemoved.Add(int64(len(m.rows)))
	return nil
}

// topicsMax is how many topics one statement lists.
const topicsMax = 1000

// Sweep removes the rows of topics that were deleted, of the shards that are this agent's.
func (c *Compactor) Sweep(ctx context.Context) error {
	for after := uint64(0); ; {
		topics, err := c.deps.Store.ExtentTopics(ctx, after, topicsMax)
		if err != nil {
			return fmt.Errorf("list the topics that have extents: %w", err)
		}
		for _, t := range topics {
			after = t
			if c.deps.Catalog.Deleted(t) {
				if err := c.sweep(ctx, t); err != nil {
					return err
				}
			}
		}
		if len(topics) < topicsMax {
			return nil
		}
	}
}

// sweep removes a deleted topic's rows.
func (c *Compactor) sweep(ctx context.Context, topic uint64) error {
	after := metastore.ExtentKey{Topic: topic, Partition: -1, Base: -1}
	for {
		rows, err := c.deps.Store.Extents(ctx, metastore.ExtentQuery{Order: metastore.Every, After: after, Limit: c.cfg.RemoveRowsMax})
		if err != nil {
			return fmt.Errorf("read the extents of a deleted topic: %w", err)
		}
		shards := map[int]*removal{}
		done := len(rows) < c.cfg.RemoveRowsMax
		for k := range rows {
			if rows[k].Topic != topic {
				done = true
				break
			}
			after = rows[k].Key()
			if !c.deps.Mine(rows[k].Shard) {
				continue
			}
			if shards[rows[k].Shard] == nil {
				shards[rows[k].Shard] = &removal{}
			}
			shards[rows[k].Shard].add(&rows[k])
		}
		for i, m := range shards {
			if err := c.remove(ctx, i, m); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
	}
}
