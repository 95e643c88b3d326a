package compaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// Why objects are retired. Persisted in the table segments.
const (
	reasonMerged   = "merged"   // an ingest segment that no shard names any more
	reasonOrphan   = "orphan"   // a partition segment, or an object of the archive, of a dead term that has no row
	reasonSnapshot = "snapshot" // of a version below the placed one
)

// lists are how far the bucket has been listed in the pass that is under way, by
// prefix: a pass is cut into bounded pieces.
type lists map[string]string

const (
	listPagesMax   = 50   // pages of one prefix in one Collect
	deletesAtOnce  = 1000 // rows of retired objects that one statement reads
	deleteRoundMax = 20   // such statements in one Collect
)

// Collect looks for objects that nobody names, writes their rows, and deletes those
// whose grace is over.
func (c *Compactor) Collect(ctx context.Context) error {
	err := c.retireDead(ctx)
	return errors.Join(err, c.deleteRetired(ctx))
}

// named is what may be named by somebody, as of a moment after which it was asked who is dead.
type named struct {
	dead     map[metastore.Term]bool
	newest   metastore.Term
	ingest   map[segment.ID]bool
	settled  map[metastore.Term]uint64    // of live terms: see metastore.TermInfo
	snapshot map[string]metastore.Version // by journal's name: the placed one
}

// look asks which terms are dead and what the live ones have settled, and only then brings all
// shards' replicas up to date: what was appended of those is folded then, and nothing more of
// them can come (I4).
func (c *Compactor) look(ctx context.Context, terms []metastore.Term) (*named, error) {
	infos, err := c.deps.Store.Terms(ctx, terms...)
	if err != nil {
		return nil, fmt.Errorf("list the terms: %w", err)
	}
	n := &named{dead: map[metastore.Term]bool{}, settled: map[metastore.Term]uint64{}, ingest: map[segment.ID]bool{}, snapshot: map[string]metastore.Version{}}
	for _, info := range infos {
		n.newest = max(n.newest, info.Term)
		if info.Ended {
			n.dead[info.Term] = true
		} else {
			n.settled[info.Term] = info.Settled
		}
	}
	for _, t := range terms {
		if _, live := n.settled[t]; !live && t < n.newest {
			n.dead[t] = true // its row was pruned long after its end
		}
	}
	cluster := c.deps.Store.Cluster()
	var journals []metastore.JournalID
	for i := range cluster.Shards {
		journals = append(journals, metastore.ShardJournal(i))
	}
	if err := c.deps.Refresh(ctx, journals...); err != nil {
		return nil, fmt.Errorf("bring the shards up to date: %w", err)
	}
	for i := range cluster.Shards {
		r := c.deps.Replica(i)
		if err := r.Err(); err != nil {
			return nil, fmt.Errorf("what a shard names can't be known: %w", err) // nothing is collected
		}
		metastore.View(r, func(s *shard.State) {
			s.EachSegment(func(id segment.ID) { n.ingest[id] = true })
		})
	}
	places, err := c.deps.Store.Snapshots(ctx, cluster.Journals())
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, p := range places {
		n.snapshot[p.Journal.String()] = p.Version
	}
	return n, nil
}

// retireDead lists a piece of the bucket and retires what is dead in it.
func (c *Compactor) retireDead(ctx context.Context) error {
	if c.lists == nil {
		c.lists = lists{}
	}
	var pages [][]Object
	for _, prefix := range []string{archive.Prefix, segment.MergedPrefix, segment.IngestPrefix, metastore.SnapshotPrefix} {
		for range listPagesMax {
			page, err := c.deps.Bucket.List(ctx, prefix, c.lists[prefix])
			if err != nil {
				return fmt.Errorf("list %s: %w", prefix, err)
			}
			if len(page) > 0 {
				pages = append(pages, page)
			}
			if len(page) < ListMax {
				delete(c.lists, prefix)
				break
			}
			c.lists[prefix] = page[len(page)-1].Key
		}
	}
	// What is dead is asked after the list: what a live term puts meanwhile isn't in it.
	var terms []metastore.Term
	for _, page := range pages {
		for _, o := range page {
			if term, ok := termOf(o.Key); ok {
				terms = append(terms, term)
			}
		}
	}
	slices.Sort(terms)
	n, err := c.look(ctx, slices.Compact(terms))
	if err != nil {
		return err
	}
	for _, page := range pages {
		if err := c.retirePage(ctx, n, page); err != nil {
			return err
		}
	}
	return nil
}

// retirePage retires what is dead of consecutive objects.
func (c *Compactor) retirePage(ctx context.Context, n *named, objects []Object) error {
	rows, err := c.rowsOf(ctx, objects)
	if err != nil {
		return err
	}
	dead := map[string][]metastore.SegmentRow{}
	for _, o := range objects {
		if reason := c.reason(n, rows, o); reason != "" && !rows[o.Key] {
			dead[reason] = append(dead[reason], metastore.SegmentRow{Object: o.Key, Size: o.Size})
		}
	}
	for _, reason := range []string{reasonMerged, reasonOrphan, reasonSnapshot} {
		if len(dead[reason]) == 0 {
			continue
		}
		if err := c.deps.Store.Retire(ctx, c.deps.Writer.Term(), reason, dead[reason]); err != nil {
			return fmt.Errorf("retire %d objects: %w", len(dead[reason]), err)
		}
		c.Stats.Retired.Add(int64(len(dead[reason])))
	}
	return nil
}

// rowsOf returns which objects of a page have rows.
func (c *Compactor) rowsOf(ctx context.Context, objects []Object) (map[string]bool, error) {
	has := map[string]bool{}
	first, last := objects[0].Key, objects[len(objects)-1].Key
	// The row of the first itself counts: begin just before it.
	for after := first[:len(first)-1]; ; {
		rows, err := c.deps.Store.Segments(ctx, after, ListMax)
		if err != nil {
			return nil, fmt.Errorf("read the segments' rows: %w", err)
		}
		for _, r := range rows {
			has[r.Object], after = true, r.Object
		}
		if len(rows) < ListMax || after >= last {
			return has, nil
		}
	}
}

// termOf returns the term that has put an object. ok is false for snapshots and strangers.
func termOf(key string) (term metastore.Term, ok bool) {
	if id, ok := segment.ParseKey(key); ok {
		return metastore.Term(id.Term), true
	}
	id, ok := archive.ParseKey(key)
	return metastore.Term(id.Term), ok
}

// reason says why an object is dead, empty if it may be needed.
func (c *Compactor) reason(n *named, rows map[string]bool, o Object) string {
	if journal, version, ok := metastore.ParseSnapshotKey(o.Key); ok {
		if placed, ok := n.snapshot[journal]; ok && version < placed {
			return reasonSnapshot
		}
		return ""
	}
	if id, ok := archive.ParseKey(o.Key); ok {
		if n.dead[metastore.Term(id.Term)] && !rows[o.Key] {
			return reasonOrphan // its append never came, and can't any more
		}
		return ""
	}
	id, ok := segment.ParseKey(o.Key)
	switch {
	case !ok:
		return ""
	case id.Merged:
		if n.dead[metastore.Term(id.Term)] && !rows[o.Key] {
			return reasonOrphan
		}
	case n.ingest[id]:
	case n.dead[metastore.Term(id.Term)], id.Number <= n.settled[metastore.Term(id.Term)]:
		return reasonMerged
	}
	return ""
}

// deleteRetired deletes the objects whose grace is over, and then their rows. A delete
// that is lost is repeated, since the row is there until the object isn't.
func (c *Compactor) deleteRetired(ctx context.Context) error {
	for range deleteRoundMax {
		rows, err := c.deps.Store.Retired(ctx, c.cfg.Grace, deletesAtOnce)
		if err != nil {
			return fmt.Errorf("read what is retired: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		gone := make([]string, len(rows))
		group, deleting := errgroup.WithContext(ctx)
		group.SetLimit(c.cfg.DeletesMax)
		for i, r := range rows {
			group.Go(func() error {
				if err := c.deps.Bucket.Delete(deleting, r.Object); err != nil {
					return fmt.Errorf("delete %s: %w", r.Object, err)
				}
				gone[i] = r.Object
				return nil
			})
		}
		err = group.Wait()
		gone = slices.DeleteFunc(gone, func(o string) bool { return o == "" })
		if len(gone) > 0 {
			c.Stats.Deleted.Add(int64(len(gone)))
			err = errors.Join(err, c.deps.Store.Collected(ctx, c.deps.Writer.Term(), gone))
		}
		if err != nil || len(rows) < deletesAtOnce {
			return err
		}
	}
	return nil
}
