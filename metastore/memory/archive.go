package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// archived names a partition.
type archived struct {
	topic     uint64
	partition int32
}

// archive returns the tables after what rows say of the archive.
func (t *tables) archive(rows *metastore.Rows, now time.Time) error {
	t.files = slices.Clone(t.files)
	progress := make(map[archived]int64, len(t.progress))
	for k, v := range t.progress {
		progress[k] = v
	}
	t.progress = progress
	for _, a := range rows.Archived {
		k := archived{a.Topic, a.Partition}
		if t.progress[k] != a.Expected {
			return metastore.ErrRowsTaken
		}
		t.progress[k] = a.To
	}
	for _, f := range rows.Files {
		f.Created = now
		t.files = append(t.files, f)
	}
	slices.SortFunc(t.files, func(a, b metastore.ArchiveFile) int { return compareFiles(a.Key(), b.Key()) })
	return nil
}

func compareFiles(a, b metastore.ArchiveKey) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First), strings.Compare(a.Object, b.Object))
}

// ArchiveFiles implements metastore.Store.
func (s *Store) ArchiveFiles(ctx context.Context, q metastore.ArchiveQuery) ([]metastore.ArchiveFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []metastore.ArchiveFile
	for _, f := range s.mu.tables.files {
		of := f.Topic == q.Topic && compareFiles(f.Key(), q.After) > 0
		if q.Expired {
			of = f.Number == q.Number && f.MaxTimestamp >= 0 && f.MaxTimestamp < q.Before
		}
		if of {
			found = append(found, f)
		}
	}
	if q.Expired {
		slices.SortFunc(found, func(a, b metastore.ArchiveFile) int {
			return cmp.Or(cmp.Compare(a.MaxTimestamp, b.MaxTimestamp), strings.Compare(a.Object, b.Object))
		})
	}
	return found[:min(max(q.Limit, 0), len(found))], nil
}

// RemoveArchiveFiles implements metastore.Store.
func (s *Store) RemoveArchiveFiles(ctx context.Context, t metastore.Term, reason string, objects []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := metastore.CheckRemoveFiles(reason, objects); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.liveLocked(t); err != nil {
		return err
	}
	now := s.clock()
	for _, o := range objects {
		at := slices.IndexFunc(s.mu.tables.files, func(f metastore.ArchiveFile) bool { return f.Object == o })
		if at < 0 {
			continue
		}
		s.mu.tables.files = slices.Delete(s.mu.tables.files, at, at+1)
		if i, ok := s.mu.tables.findSegment(o); ok && s.mu.tables.segments[i].Retired.IsZero() {
			s.mu.tables.segments[i].Retired, s.mu.tables.segments[i].Reason = now, reason
		}
	}
	return nil
}
