package compaction

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// Item is a line of a bill: objects and their bytes.
type Item struct {
	Objects int
	Bytes   int64
}

func (i *Item) add(size int64) {
	i.Objects++
	i.Bytes += size
}

// Bill is what a bucket holds, as the metastore sees it. Each object is in one line.
type Bill struct {
	Live     Item     // named by a shard, a row of extents, or as a journal's snapshot
	Retired  Item     // wait for their deletion
	Garbage  Item     // nobody names them, and nobody can any more
	InFlight Item     // of live terms: their appends may be under way
	Other    Item     // under keys that compaction knows nothing of
	Missing  []string // named, and not in the bucket: records are lost
	Wrong    []string // where the tables and a shard's state don't agree, in words
	garbage  []metastore.SegmentRow
}

// Agrees tells whether bucket and metastore agree but for garbage.
func (b *Bill) Agrees() bool { return len(b.Missing) == 0 && len(b.Wrong) == 0 }

// wrongMax bounds the lines of Missing and of Wrong.
const wrongMax = 1000

// names is what the metastore names at one moment.
type names struct {
	*named
	rows map[string]metastore.SegmentRow
	used map[string]bool // objects that must be there
}

// Verify compares bucket and metastore both ways. It changes nothing, and may run while
// agents do: what comes and goes meanwhile isn't taken for missing or garbage.
// Of deps it needs Bucket, Store, Replica and Refresh. It holds the bucket's keys in memory.
func Verify(ctx context.Context, deps Deps) (*Bill, error) {
	c := &Compactor{cfg: DefaultConfig(), deps: deps}
	var listed []Object
	before, err := c.names(ctx, nil)
	if err != nil {
		return nil, err
	}
	for after := ""; ; {
		page, err := deps.Bucket.List(ctx, "", after)
		if err != nil {
			return nil, fmt.Errorf("list the bucket: %w", err)
		}
		listed = append(listed, page...)
		if len(page) < ListMax {
			break
		}
		after = page[len(page)-1].Key
	}
	now, err := c.names(ctx, listed)
	if err != nil {
		return nil, err
	}
	bill := &Bill{}
	there := map[string]bool{}
	for _, o := range listed {
		there[o.Key] = true
		bill.enter(c, before, now, o)
	}
	for _, key := range slices.Sorted(maps.Keys(before.used)) {
		// Named before the list and after it: it was there all the time, or it is missing.
		if now.used[key] && !there[key] && len(bill.Missing) < wrongMax {
			bill.Missing = append(bill.Missing, key)
		}
	}
	return bill, c.compareRows(ctx, bill)
}

// enter puts an object into its line.
func (b *Bill) enter(c *Compactor, before, now *names, o Object) {
	_, _, isSnapshot := metastore.ParseSnapshotKey(o.Key)
	_, hasTerm := termOf(o.Key)
	row, hasRow := now.rows[o.Key]
	switch {
	case !isSnapshot && !hasTerm:
		b.Other.add(o.Size)
	case hasRow && !row.Retired.IsZero():
		b.Retired.add(o.Size)
	case now.used[o.Key] || before.used[o.Key]:
		b.Live.add(o.Size)
	case c.reason(now.named, nil, o) == "":
		b.InFlight.add(o.Size)
	default:
		b.Garbage.add(o.Size)
		b.garbage = append(b.garbage, metastore.SegmentRow{Object: o.Key, Size: o.Size})
	}
}

// names reads what the metastore names.
func (c *Compactor) names(ctx context.Context, listed []Object) (*names, error) {
	var terms []metastore.Term
	for _, o := range listed {
		if term, ok := termOf(o.Key); ok {
			terms = append(terms, term)
		}
	}
	slices.Sort(terms)
	n := &names{rows: map[string]metastore.SegmentRow{}, used: map[string]bool{}}
	var err error
	if n.named, err = c.look(ctx, slices.Compact(terms)); err != nil {
		return nil, err
	}
	for id := range n.ingest {
		n.used[id.Key()] = true
	}
	for after := ""; ; {
		rows, err := c.deps.Store.Segments(ctx, after, ListMax)
		if err != nil {
			return nil, fmt.Errorf("read the segments' rows: %w", err)
		}
		for _, r := range rows {
			n.rows[r.Object], after = r, r.Object
			if r.Retired.IsZero() {
				n.used[r.Object] = true
			}
		}
		if len(rows) < ListMax {
			break
		}
	}
	places, err := c.deps.Store.Snapshots(ctx, c.deps.Store.Cluster().Journals())
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, p := range places {
		n.used[p.Object] = true
	}
	return n, nil
}

// held is what the rows of a partition come to.
type held struct {
	id         shard.PartitionID
	first, end int64
	bytes      int64
	hole       bool
}

// compareRows compares the rows of extents with the shards' states.
func (c *Compactor) compareRows(ctx context.Context, bill *Bill) error {
	q := metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin(), Limit: ListMax}
	all := map[int]map[shard.PartitionID]*held{}
	for {
		rows, err := c.deps.Store.Extents(ctx, q)
		if err != nil {
			return fmt.Errorf("read the extents: %w", err)
		}
		for i := range rows {
			row := &rows[i]
			q.After = row.Key()
			id := shard.PartitionID{Topic: row.Topic, Index: row.Partition}
			if all[row.Shard] == nil {
				all[row.Shard] = map[shard.PartitionID]*held{}
			}
			h := all[row.Shard][id]
			if h == nil {
				h = &held{id: id, first: row.Base, end: row.Base}
				all[row.Shard][id] = h
			}
			h.hole = h.hole || row.Base != h.end
			h.end = row.End
			h.bytes += row.Length
		}
		if len(rows) < q.Limit {
			break
		}
	}
	for i := range c.deps.Store.Cluster().Shards {
		metastore.View(c.deps.Replica(i), func(s *shard.State) {
			for _, id := range s.Partitions() {
				m, _ := s.Merged(id)
				logStart, _, _, _ := s.Bounds(id)
				h := all[i][id]
				if h == nil {
					h = &held{first: m.To, end: m.To}
				}
				if m.To > logStart && (h.first > logStart || h.end < m.To || h.hole && h.first >= logStart) {
					bill.wrong("partition %v is merged up to offset %d and begins at %d, its extents hold %d to %d", id, m.To, logStart, h.first, h.end)
				}
			}
		})
	}
	return nil
}

func (b *Bill) wrong(format string, args ...any) {
	if len(b.Wrong) < wrongMax {
		b.Wrong = append(b.Wrong, fmt.Sprintf(format, args...))
	}
}

// RetireGarbage writes the rows of a bill's garbage, so that the collector deletes it after
// the grace. It returns how many objects it is.
func (b *Bill) RetireGarbage(ctx context.Context, store Store, term metastore.Term) (int, error) {
	for page := range slices.Chunk(b.garbage, ListMax) {
		if err := store.Retire(ctx, term, reasonOrphan, page); err != nil {
			return 0, fmt.Errorf("retire %d objects: %w", len(page), err)
		}
	}
	return len(b.garbage), nil
}
