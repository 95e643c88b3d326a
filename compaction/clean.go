package compaction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const (
	cleanRowsMax = 64              // rows that one statement of a pass reads
	dirtyRowsMax = 1000            // rows that one statement reads to measure a partition
	lookAgain    = 5 * time.Minute // a partition that no swap has changed is measured again
)

// look is when a partition was measured, so that one that doesn't change costs no statement.
type look struct {
	version metastore.Version
	at      time.Time
}

// pass is one pass of key compaction over a partition, as Apache Kafka's Cleaner makes
// it: first the keys of the dirty rows are remembered, as far as the map holds them; then
// all rows up to there are filtered by them, upwards from the log start. The order is
// what makes it safe to stop anywhere: a row is said to be compacted only when those before
// it have lost what its keys take the place of.
type pass struct {
	shard    int
	id       shard.PartitionID
	policy   Policy
	from     int64 // the first offset that is dirty
	end      int64 // up to where it goes
	at       int64 // the next offset to read
	building bool  // of the map; else filtering
	keys     *keyMap
	// seen are the producers of whose transaction records were read, until its marker is.
	seen map[int64]bool
}

// Clean goes on with the pass of key compaction that is under way in a shard, or begins
// one over the partition that has the largest share of dirty bytes.
func (c *Compactor) Clean(ctx context.Context, i int) error {
	for range jobsMax {
		if c.pass == nil {
			var err error
			if c.pass, err = c.filthiest(ctx, i); err != nil || c.pass == nil {
				return err
			}
		}
		if c.pass.shard != i {
			return nil // one at a time: it has the memory
		}
		done, err := c.step(ctx, c.pass)
		if done || err != nil {
			c.pass = nil
		}
		if err != nil {
			return fmt.Errorf("key compaction: %w", err)
		}
	}
	return nil
}

// filthiest measures what has changed and is compacted by key.
func (c *Compactor) filthiest(ctx context.Context, i int) (*pass, error) {
	type part struct {
		id       shard.PartitionID
		merged   shard.Merged
		logStart int64
		archived int64 // the archive has what lies below
	}
	var parts []part
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		for _, id := range s.Partitions() {
			merged, _ := s.Merged(id)
			if logStart, _, _, _ := s.Bounds(id); logStart < merged.To {
				archived, _ := s.Archived(id)
				parts = append(parts, part{id, merged, logStart, archived})
			}
		}
	})
	now := c.deps.Now()
	var best *pass
	bestRatio := -1.0
	for _, p := range parts {
		was, known := c.looks[p.id]
		if known && was.version == p.merged.Version && now.Sub(was.at) < lookAgain {
			continue
		}
		policy, ok := c.deps.Catalog.Policy(p.id.Topic)
		if !ok || !policy.Compact || c.rests(p.id) || c.Uncleanable(p.id) != nil {
			continue
		}
		below := int64(math.MaxInt64)
		if policy.Archive.On {
			below = p.archived // the archive has every record, those too that key compaction removes later
		}
		d, err := c.measure(ctx, p.id, p.logStart, below, policy, now)
		if err != nil {
			return nil, err
		}
		if c.rests(p.id) {
			continue
		}
		ratio := d.ratio()
		if !d.overdue && ratio <= policy.DirtyRatio {
			c.looks[p.id] = look{p.merged.Version, now}
			continue
		}
		if d.overdue {
			ratio += 1
		}
		if ratio > bestRatio {
			best, bestRatio = &pass{
				shard: i, id: p.id, policy: policy, from: d.from, end: d.end, at: d.from, building: true, seen: map[int64]bool{},
			}, ratio
		}
	}
	if best != nil {
		best.keys = newKeyMap(c.cfg.KeyMapBytesMax)
	}
	return best, nil
}

// dirt is what of a partition is not compacted by key yet, and may be.
type dirt struct {
	from, end    int64
	clean, dirty int64 // bytes
	overdue      bool  // something of it is older than max.compaction.lag.ms
}

func (d *dirt) ratio() float64 {
	if d.dirty == 0 {
		return -1
	}
	return float64(d.dirty) / float64(d.clean+d.dirty)
}

// measure reads a partition's rows. What is too young or reaches beyond below, and all after it, is not cleaned.
func (c *Compactor) measure(ctx context.Context, id shard.PartitionID, logStart, below int64, policy Policy, now time.Time) (d dirt, err error) {
	youngest := int64(math.MaxInt64)
	if policy.MinLag > 0 {
		youngest = now.Add(-policy.MinLag).UnixMilli()
	}
	d.from = -1
	q := metastore.ExtentQuery{Topic: id.Topic, Partition: id.Index, Offset: logStart, Limit: dirtyRowsMax}
	for {
		rows, err := c.deps.Store.Extents(ctx, q)
		if err != nil {
			return d, fmt.Errorf("read the extents of partition %v: %w", id, err)
		}
		for k := range rows {
			row := &rows[k]
			switch {
			case d.from < 0 && segment.IndexCompacted(row.Index):
				d.clean += row.Length
				continue
			case row.MaxTimestamp > youngest || row.End > below:
				return d, nil
			case d.from < 0:
				d.from = row.Base
				d.overdue = c.overdue(ctx, row, policy, now)
			}
			d.dirty += row.Length
			d.end = row.End
		}
		if len(rows) < q.Limit {
			return d, nil
		}
		q.Offset = rows[len(rows)-1].End
	}
}

// overdue tells whether the first batch of a row, the first dirty one, is older than
// max.compaction.lag.ms. It reads the batch's header; where it can't, the partition is put off.
func (c *Compactor) overdue(ctx context.Context, row *metastore.ExtentRow, policy Policy, now time.Time) bool {
	if policy.MaxLag < 0 || row.Length < batch.HeaderSize {
		return false
	}
	header := make([]byte, batch.HeaderSize)
	n, err := c.deps.Bucket.GetInto(ctx, row.Object, row.Position, header)
	if err != nil {
		c.tryLater(fmt.Errorf("read the first dirty batch: %w", err), shard.PartitionID{Topic: row.Topic, Index: row.Partition})
		return false
	}
	h, err := batch.Parse(header[:n])
	if err != nil {
		return true // the pass reads it whole, and says what is wrong
	}
	first := h.FirstTimestamp
	if _, marked := h.DeleteHorizon(); marked || h.LogAppendTime() {
		first = h.MaxTimestamp
	}
	return first >= 0 && first < now.Add(-policy.MaxLag).UnixMilli()
}

// step reads one job's rows, and remembers their keys or filters them.
func (c *Compactor) step(ctx context.Context, p *pass) (done bool, err error) {
	c.space.forMerging()
	logStart := int64(0)
	metastore.View(c.deps.Replica(p.shard), func(s *shard.State) { logStart, _, _, _ = s.Bounds(p.id) })
	rows, err := c.deps.Store.Extents(ctx, metastore.ExtentQuery{
		Topic: p.id.Topic, Partition: p.id.Index, Offset: max(p.at, logStart), Limit: cleanRowsMax,
	})
	if err != nil {
		return true, fmt.Errorf("read the extents of partition %v: %w", p.id, err)
	}
	for len(rows) > 0 && rows[len(rows)-1].Base >= p.end {
		rows = rows[:len(rows)-1]
	}
	if len(rows) == 0 {
		return !p.turn(), nil
	}
	w, err := c.workAgain(rows, c.cfg.JobBytesMax)
	if err != nil || w == nil {
		return true, err
	}
	works, err := c.read(ctx, []*work{w})
	if err != nil || len(works) == 0 {
		return true, err
	}
	p.at = w.to
	if p.building {
		if err := c.remember(p, w); err != nil {
			c.cannotClean(p.id, err)
			return true, nil
		}
		if p.at >= p.end {
			p.turn()
		}
		return false, nil
	}
	return c.filter(ctx, p, w)
}

// turn goes from the dirty rows' keys to filtering; false if that was under way.
func (p *pass) turn() bool {
	was := p.building
	p.building, p.at = false, 0
	return was
}

// remember puts the keys of a work's dirty batches into the map. Where it is full, the
// pass ends: the next one goes on from there.
func (c *Compactor) remember(p *pass, w *work) error {
	aborted := abortedOf(w)
	for _, b := range w.batches {
		if b.end <= p.from || b.base >= p.end {
			continue
		}
		h, err := batch.Parse(b.body)
		if err != nil {
			return err
		}
		if h.Control() || aborted.holdsAt(&h, b.base) {
			continue
		}
		if !p.keys.room(int(h.Records)) {
			if p.end = b.base; p.keys.count == 0 {
				return fmt.Errorf("the batch at offset %d has %d records, more keys than fit into %d bytes", b.base, h.Records, c.cfg.KeyMapBytesMax)
			}
			return nil
		}
		for r, err := range batch.Records(b.body, c.cfg.CleanBytesMax) {
			if err != nil {
				return fmt.Errorf("the batch at offset %d: %w", b.base, err)
			}
			if r.Key != nil {
				p.keys.put(r.Key, r.Offset)
			}
		}
	}
	return nil
}

// filter leaves out what the pass's keys take the place of, and swaps the rest in. Rows
// that are compacted already and lose nothing stay as they are.
func (c *Compactor) filter(ctx context.Context, p *pass, w *work) (done bool, err error) {
	f := filtering{pass: p, now: c.deps.Now().UnixMilli(), bytesMax: c.cfg.CleanBytesMax, aborted: abortedOf(w)}
	compacted := w.compactedTo >= w.to
	changed, err := f.work(w)
	if err != nil {
		c.cannotClean(p.id, err)
		return true, nil
	}
	if changed || !compacted {
		w.compactedTo = min(w.to, p.end)
		stood, err := c.exchange(ctx, p.shard, []*work{w})
		if err != nil || len(stood) == 0 || !stood[0] {
			if errors.Is(err, errIndex) {
				c.cannotClean(p.id, err)
				err = nil
			}
			return true, err // lost to another job: what comes after must not be said to be compacted
		}
		c.Stats.CleanedRecords.Add(f.removed)
		c.Stats.CleanedBytes.Add(max(0, f.bytes)) // a horizon may make a batch larger
	}
	if p.at < p.end {
		return false, nil
	}
	c.Stats.Cleanings.Add(1)
	c.cfg.Log.Debug("a partition is compacted by key", "partition", p.id, "from", p.from, "to", p.end)
	return true, nil
}
