package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// tables are the rows of extents, by topic, partition and offset, and of segments, by object.
type tables struct {
	extents  []metastore.ExtentRow
	segments []metastore.SegmentRow
	files    []metastore.ArchiveFile // by partition, first offset and object
	progress map[archived]int64
}

func compareExtents(a, b metastore.ExtentKey) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Base, b.Base))
}

func (t *tables) find(k metastore.ExtentKey) (int, bool) {
	return slices.BinarySearchFunc(t.extents, k, func(e metastore.ExtentRow, k metastore.ExtentKey) int {
		return compareExtents(e.Key(), k)
	})
}

func (t *tables) findSegment(object string) (int, bool) {
	return slices.BinarySearchFunc(t.segments, object, func(s metastore.SegmentRow, object string) int {
		return strings.Compare(s.Object, object)
	})
}

// change returns the tables after rows.
func (t *tables) change(rows *metastore.Rows, now time.Time) (*tables, error) {
	n := &tables{extents: slices.Clone(t.extents), segments: slices.Clone(t.segments), files: t.files, progress: t.progress}
	if rows.OfArchive() {
		if err := n.archive(rows, now); err != nil {
			return nil, err
		}
	}
	for _, s := range rows.Segments {
		i, taken := n.findSegment(s.Object)
		if taken {
			return nil, metastore.ErrRowsTaken
		}
		s.Created, s.Retired, s.Reason = now, time.Time{}, ""
		n.segments = slices.Insert(n.segments, i, s)
	}
	for _, k := range rows.Removed {
		i, ok := n.find(k)
		if !ok || n.extents[i].Object != k.Object {
			return nil, metastore.ErrRowsTaken
		}
		n.extents = slices.Delete(n.extents, i, i+1)
	}
	for _, e := range rows.Extents {
		i, taken := n.find(e.Key())
		same := func(o metastore.ExtentRow) bool { return o.Topic == e.Topic && o.Partition == e.Partition }
		switch {
		case taken,
			i > 0 && same(n.extents[i-1]) && n.extents[i-1].End > e.Base,
			i < len(n.extents) && same(n.extents[i]) && n.extents[i].Base < e.End:
			return nil, metastore.ErrRowsTaken
		}
		e.Index = bytes.Clone(e.Index)
		n.extents = slices.Insert(n.extents, i, e)
	}
	n.retire(rows.Removed, now)
	return n, nil
}

// retire retires the segments of removed extents that no extent names any more.
func (t *tables) retire(removed []metastore.ExtentKey, now time.Time) {
	for _, k := range removed {
		named := slices.ContainsFunc(t.extents, func(e metastore.ExtentRow) bool { return e.Object == k.Object })
		if i, ok := t.findSegment(k.Object); ok && !named && t.segments[i].Retired.IsZero() {
			t.segments[i].Retired, t.segments[i].Reason = now, metastore.ReasonReplaced
		}
	}
}

// AppendRows implements metastore.Store.
func (s *Store) AppendRows(ctx context.Context, t metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.cluster.CheckRows(parts, &rows); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(t, parts, func() error {
		now := s.clock()
		if !rows.By.IsZero() && now.After(rows.By) {
			return metastore.ErrRowsTaken
		}
		changed, err := s.mu.tables.change(&rows, now)
		if err == nil {
			s.mu.tables = *changed
		}
		return err
	})
}

// Extents implements metastore.Store.
func (s *Store) Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []metastore.ExtentRow
	reached := false
	for _, e := range s.mu.tables.extents {
		of := e.Topic == q.Topic && e.Partition == q.Partition
		switch q.Order {
		case metastore.ByOffset:
			of = of && e.End > q.Offset
		case metastore.BySince:
			reached = reached || of && e.MaxTimestamp >= q.Timestamp
			of = of && reached
		case metastore.Small:
			of = e.Shard == q.Shard && e.Length < metastore.SmallExtentBytes && compareExtents(e.Key(), q.After) > 0
		case metastore.Every:
			of = compareExtents(e.Key(), q.After) > 0
		}
		if of {
			e.Index = bytes.Clone(e.Index)
			found = append(found, e)
		}
	}
	if q.Order == metastore.ByLatest {
		slices.SortStableFunc(found, func(a, b metastore.ExtentRow) int { return cmp.Compare(b.MaxTimestamp, a.MaxTimestamp) })
	}
	return found[:min(max(q.Limit, 0), len(found))], nil
}

// ExtentTopics implements metastore.Store.
func (s *Store) ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var topics []uint64
	for _, e := range s.mu.tables.extents {
		if e.Topic > after && len(topics) < limit {
			topics, after = append(topics, e.Topic), e.Topic
		}
	}
	return topics, nil
}

// Retire implements metastore.Store.
func (s *Store) Retire(ctx context.Context, t metastore.Term, reason string, objects []metastore.SegmentRow) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := metastore.CheckRetire(reason, objects); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.liveLocked(t); err != nil {
		return err
	}
	now := s.clock()
	for _, o := range objects {
		if i, ok := s.mu.tables.findSegment(o.Object); !ok {
			o.Created, o.Retired, o.Reason = now, now, reason
			s.mu.tables.segments = slices.Insert(s.mu.tables.segments, i, o)
		}
	}
	return nil
}

// Retired implements metastore.Store.
func (s *Store) Retired(ctx context.Context, age time.Duration, limit int) ([]metastore.SegmentRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.clock().Add(-age)
	var found []metastore.SegmentRow
	for _, o := range s.mu.tables.segments {
		if !o.Retired.IsZero() && !o.Retired.After(before) {
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(a, b metastore.SegmentRow) int { return a.Retired.Compare(b.Retired) })
	return found[:min(max(limit, 0), len(found))], nil
}

// Collected implements metastore.Store.
func (s *Store) Collected(ctx context.Context, t metastore.Term, objects []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.liveLocked(t); err != nil {
		return err
	}
	for _, o := range objects {
		if i, ok := s.mu.tables.findSegment(o); ok && !s.mu.tables.segments[i].Retired.IsZero() {
			s.mu.tables.segments = slices.Delete(s.mu.tables.segments, i, i+1)
		}
	}
	return nil
}

// Segments implements metastore.Store.
func (s *Store) Segments(ctx context.Context, after string, limit int) ([]metastore.SegmentRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.mu.tables.findSegment(after)
	if ok {
		i++
	}
	rest := s.mu.tables.segments[i:]
	return slices.Clone(rest[:min(max(limit, 0), len(rest))]), nil
}
