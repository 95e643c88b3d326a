package compaction

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

const (
	retainRowsMax    = 64   // extents that one statement reads
	retainPagesMax   = 16   // statements for one partition in one pass; the next pass goes on
	retainEffectsMax = 2000 // log starts moved by one append
)

// kept is what is remembered of a partition since it was looked at, so that one with
// nothing to remove costs no statement.
type kept struct {
	logStart int64
	version  metastore.Version
	oldest   int64 // ms: the largest timestamp of its first block above the log start
	dead     int64 // bytes of rows below the log start
}

// expired tells whether records whose largest timestamp is so old go. Those without a time
// stay until ones with a time that come after them in the block are too old.
func expired(maxTimestamp, cutoff int64) bool { return maxTimestamp >= 0 && maxTimestamp < cutoff }

// retained is a partition as retention sees it.
type retained struct {
	id         shard.PartitionID
	policy     Policy
	merged     shard.Merged
	logStart   int64
	lastStable int64
	hot        int64 // bytes
	archived   int64 // up to where
	start      int64 // where the log shall begin
}

// Retain moves the log starts of a shard's partitions by their topics' retention, and
// removes the rows below log starts. Its cost is that of what goes.
func (c *Compactor) Retain(ctx context.Context, i int) error {
	r := c.deps.Replica(i)
	var parts []retained
	metastore.View(r, func(s *shard.State) {
		for _, id := range s.Partitions() {
			p := retained{id: id}
			p.merged, _ = s.Merged(id)
			p.logStart, _, p.lastStable, _ = s.Bounds(id)
			p.archived, _ = s.Archived(id)
			p.hot = s.Bytes(id) - p.merged.Bytes
			p.start = p.logStart
			parts = append(parts, p)
		}
	})
	now := c.deps.Now()
	var effects []byte
	count := 0
	flush := func() error {
		if count == 0 {
			return nil
		}
		landed, err := c.deps.Writer.Append(ctx, []metastore.Draft{{Journal: r.ID(), Effects: effects}})
		if err != nil {
			return fmt.Errorf("move log starts of %v: %w", r.ID(), err)
		}
		c.Stats.LogStartsMoved.Add(int64(len(landed.Parts[0].Outcomes)))
		effects, count = nil, 0
		return nil
	}
	for k := range parts {
		p := &parts[k]
		var ok bool
		if p.policy, ok = c.deps.Catalog.Policy(p.id.Topic); !ok {
			continue // deleted, or too new to be known
		}
		if err := c.retain(ctx, r, p, now); err != nil {
			return err
		}
		if p.policy.Archive.On {
			// What isn't archived yet stays, whatever its age: the archive lags by minutes.
			p.start = max(p.logStart, min(p.start, p.archived))
		}
		if p.start > p.logStart {
			effects = shard.AppendLogStart(effects, p.id, p.start)
			if count++; count == retainEffectsMax {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	// By the log starts that are folded now: rows go only below those.
	return c.Remove(ctx, i)
}

// retain decides where a partition's log shall begin.
func (c *Compactor) retain(ctx context.Context, r *metastore.Replica, p *retained, now time.Time) error {
	cutoff := int64(math.MinInt64)
	if p.policy.Delete && p.policy.Retention >= 0 {
		cutoff = now.Add(-p.policy.Retention).UnixMilli()
	}
	excess := int64(0) // bytes too many, those below the log start included
	if p.policy.Delete && p.policy.RetentionBytes >= 0 {
		excess = max(0, p.merged.Bytes+p.hot-p.policy.RetentionBytes)
	}
	if p.merged.To > p.logStart {
		was, known := c.retention[p.id]
		same := known && was.logStart == p.logStart && was.version == p.merged.Version
		if same && was.oldest >= cutoff && excess <= was.dead {
			return nil // nothing has changed that would let anything go
		}
		done, err := c.retainMerged(ctx, p, cutoff, &excess)
		if err != nil || !done {
			return err
		}
	}
	metastore.View(r, func(s *shard.State) {
		for p.start < p.lastStable {
			es := s.Plan(p.id, max(p.start, p.merged.To), 1, nil)
			if len(es) == 0 || es[0].End() > p.lastStable {
				return
			}
			// As Apache Kafka: by size only while as much is left as shall be kept.
			e := es[0]
			if !expired(e.MaxTimestamp, cutoff) && (excess < e.Bytes() || excess == 0) {
				return
			}
			excess -= min(excess, e.Bytes())
			p.start = e.End()
		}
	})
	return nil
}

// retainMerged walks the blocks from the log start on, as long as they go. done says
// that all that is merged goes.
func (c *Compactor) retainMerged(ctx context.Context, p *retained, cutoff int64, excess *int64) (done bool, err error) {
	q := metastore.ExtentQuery{Topic: p.id.Topic, Partition: p.id.Index, Limit: retainRowsMax}
	note := kept{logStart: p.logStart, version: p.merged.Version, oldest: math.MaxInt64}
	// Rows wholly below the log start come first; they are few, since each pass removes them.
	for range retainPagesMax {
		rows, err := c.deps.Store.Extents(ctx, q)
		if err != nil {
			return false, fmt.Errorf("read the extents of partition %v: %w", p.id, err)
		}
		for i := range rows {
			row := &rows[i]
			x, err := segment.ParseIndex(row.Index, row.Base, row.End, row.Length)
			if err != nil {
				c.stop(p.id, fmt.Errorf("the row of offset %d in %s: %w", row.Base, row.Object, err))
				return false, nil
			}
			if len(x.Blocks) == 0 {
				p.start = max(p.start, min(row.End, p.lastStable))
			}
			for k, b := range x.Blocks {
				end := row.End
				if k+1 < len(x.Blocks) {
					end = x.Blocks[k+1].Base
				}
				if end <= p.logStart {
					note.dead += b.Length
					*excess -= min(*excess, b.Length)
					continue
				}
				if end > p.lastStable || !expired(b.MaxTimestamp, cutoff) && (*excess < b.Length || *excess == 0) {
					if b.MaxTimestamp >= 0 {
						note.oldest = b.MaxTimestamp
					}
					if p.start > p.logStart {
						delete(c.retention, p.id) // it moves: look again
					} else {
						c.retention[p.id] = note
					}
					return false, nil
				}
				*excess -= min(*excess, b.Length)
				p.start = end
			}
		}
		if len(rows) < q.Limit {
			p.start = max(p.start, min(p.merged.To, p.lastStable))
			return true, nil
		}
		q.Offset = rows[len(rows)-1].End
	}
	return false, nil
}
