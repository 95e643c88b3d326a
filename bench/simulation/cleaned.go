package simulation

import (
	"context"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// rowsAtOnce is how many rows one statement of a check reads.
const rowsAtOnce = 500

// checkRetire finds segments that are retired while an append to come may name them (I4).
func (w *world) checkRetire(ctx context.Context, host string, objects []metastore.SegmentRow) {
	for _, o := range objects {
		id, ok := segment.ParseKey(o.Object)
		if !ok || id.Merged {
			continue
		}
		infos, err := w.store.Terms(ctx, metastore.Term(id.Term))
		if err != nil {
			continue
		}
		for _, t := range infos {
			t = w.standby.known(t)
			if t.Term == metastore.Term(id.Term) && !t.Ended && id.Number > t.Settled {
				w.bug("%s retires %s, whose term lives and has settled %d", host, o.Object, t.Settled)
			}
		}
	}
}

// partitionRows identifies a partition in the table of extents.
type partitionRows struct {
	topic uint64
	index int32
}

// checkCleaned finds records that key compaction has left in rows that it calls compacted, though a later
// one in these has their key. What it calls compacted begins at a partition's first row.
func (w *world) checkCleaned(ctx context.Context) {
	query := metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin(), Limit: rowsAtOnce}
	dirty := map[partitionRows]bool{}
	newest := map[partitionRows]map[string]int64{}
	for {
		rows, err := w.store.Extents(ctx, query)
		if err != nil {
			w.bug("the table of extents can't be read: %v", err)
			return
		}
		for i := range rows {
			row := &rows[i]
			query.After = row.Key()
			p := partitionRows{row.Topic, row.Partition}
			if dirty[p] = dirty[p] || !segment.IndexCompacted(row.Index); dirty[p] || row.Length == 0 {
				continue
			}
			if newest[p] == nil {
				newest[p] = map[string]int64{}
			}
			w.checkCleanedRow(ctx, row, newest[p])
		}
		if len(rows) < rowsAtOnce {
			return
		}
	}
}

// checkCleanedRow notes the keys of a row, none of which may have come before.
func (w *world) checkCleanedRow(ctx context.Context, row *metastore.ExtentRow, newest map[string]int64) {
	body, err := w.bucket.Get(ctx, row.Object, row.Position, row.Length)
	for len(body) > 0 && err == nil {
		var h batch.Header
		if h, err = batch.Verify(body); err != nil {
			break
		}
		if !h.Control() && h.Records > 0 {
			for rec, e := range batch.Records(body[:h.Size()], 1<<20) {
				if e != nil {
					err = e
					break
				}
				if before, twice := newest[string(rec.Key)]; twice {
					w.bug("the key %q is at offsets %d and %d of partition %d of topic %d, which is compacted up to %d",
						rec.Key, before, rec.Offset, row.Partition, row.Topic, row.End)
				}
				newest[string(rec.Key)] = rec.Offset
			}
		}
		body = body[h.Size():]
	}
	if err != nil {
		w.bug("%s, from %d on: %v", row.Object, row.Position, err)
	}
}
