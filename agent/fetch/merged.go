package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// sinceMerged looks for the first record whose timestamp is at least timestamp among
// what is merged. Where there is none it returns the offset to go on from.
func (f *Fetcher) sinceMerged(ctx context.Context, p Place, timestamp int64) (from int64, found Offset) {
	for replanned := false; ; replanned = true {
		from, found = f.sinceRows(ctx, p, timestamp)
		if replanned || !errors.Is(found.Err, bucket.ErrNotFound) || f.refreshShard(ctx, p.Shard) != nil {
			return from, found
		}
	}
}

func (f *Fetcher) sinceRows(ctx context.Context, p Place, timestamp int64) (from int64, found Offset) {
	var merged shard.Merged
	err := f.viewLog(p, func(s *shard.State, logStart int64) {
		merged, _ = s.Merged(p.ID)
		from = logStart
	})
	if err != nil {
		return from, failed(err)
	}
	if from >= merged.To {
		return from, none
	}
	q := metastore.ExtentQuery{Order: metastore.BySince, Topic: p.ID.Topic, Partition: p.ID.Index, Timestamp: timestamp, Limit: historyRowsMax}
	for {
		rows, err := f.deps.Rows.Extents(ctx, q)
		if err != nil {
			return from, failed(fmt.Errorf("%w: %w", ErrStorage, err))
		}
		for i := range rows {
			if rows[i].End <= from || rows[i].MaxTimestamp < timestamp {
				continue
			}
			if found := f.sinceIn(ctx, &rows[i], from, timestamp); found != none {
				return from, found
			}
		}
		if len(rows) < q.Limit {
			return max(from, merged.To), none
		}
		// Their records lie below the log start, or promised more: on from there.
		q.Order, q.Offset = metastore.ByOffset, rows[len(rows)-1].End
	}
}

// sinceIn looks into an extent.
func (f *Fetcher) sinceIn(ctx context.Context, row *metastore.ExtentRow, from, timestamp int64) Offset {
	blocks, _, err := extentBlocks(row)
	if err != nil {
		return failed(err)
	}
	for _, e := range blocks {
		if e.End() <= from || e.MaxTimestamp < timestamp {
			continue
		}
		found := none
		err := f.scan(ctx, e, from, timestamp, func(offset, t int64) (stop bool) {
			if t >= timestamp {
				found = Offset{Offset: offset, Timestamp: t}
			}
			return t >= timestamp
		})
		if err != nil {
			return failed(err)
		}
		if found != none {
			return found
		}
	}
	return none
}

// latestMerged returns the record with the largest timestamp of what is merged, the first such.
func (f *Fetcher) latestMerged(ctx context.Context, p Place) Offset {
	var merged shard.Merged
	var from int64
	err := f.viewLog(p, func(s *shard.State, logStart int64) {
		merged, _ = s.Merged(p.ID)
		from = logStart
	})
	if err != nil {
		return failed(err)
	}
	if from >= merged.To {
		return none
	}
	best := none
	// Of extents that begin below the log start the promised record may be gone: then the
	// best of more of them. Retention removes such rows, so it is rare, and bounded here.
	for limit := historyRowsMax; ; limit *= 8 {
		rows, err := f.deps.Rows.Extents(ctx, metastore.ExtentQuery{Order: metastore.ByLatest, Topic: p.ID.Topic, Partition: p.ID.Index, Limit: limit})
		if err != nil {
			return failed(fmt.Errorf("%w: %w", ErrStorage, err))
		}
		for i := range rows {
			if rows[i].MaxTimestamp < best.Timestamp {
				return best
			}
			if rows[i].End <= from {
				continue
			}
			found := f.latestOf(ctx, &rows[i], from)
			if found.Err != nil {
				return found
			}
			if found.Timestamp > best.Timestamp || found.Timestamp == best.Timestamp && found.Offset >= 0 && found.Offset < best.Offset {
				best = found
			}
		}
		if len(rows) < limit || limit >= metastore.RowsMax {
			return best
		}
	}
}

// latestOf looks into an extent.
func (f *Fetcher) latestOf(ctx context.Context, row *metastore.ExtentRow, from int64) Offset {
	blocks, _, err := extentBlocks(row)
	if err != nil {
		return failed(err)
	}
	slices.SortStableFunc(blocks, func(a, b shard.Extent) int { return cmp.Compare(b.MaxTimestamp, a.MaxTimestamp) })
	best := none
	for _, e := range blocks {
		if e.MaxTimestamp < best.Timestamp {
			break
		}
		if e.End() <= from {
			continue
		}
		found := f.latestIn(ctx, e, from)
		if found.Err != nil {
			return found
		}
		if found.Timestamp > best.Timestamp || found.Timestamp == best.Timestamp && found.Offset >= 0 && found.Offset < best.Offset {
			best = found
		}
	}
	return best
}
