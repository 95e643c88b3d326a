package fetch

import (
	"context"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// emptied are rows of a partition of which key compaction left nothing but the last.
type emptied struct {
	rows       []metastore.ExtentRow
	statements int
}

func (e *emptied) Extents(_ context.Context, q metastore.ExtentQuery) (found []metastore.ExtentRow, err error) {
	e.statements++
	for _, r := range e.rows {
		if r.End > q.Offset && len(found) < q.Limit {
			found = append(found, r)
		}
	}
	return found, nil
}

// However many rows hold nothing, a reader is told where there is something to read again.
func TestHistory_EmptyRows(t *testing.T) {
	id := shard.PartitionID{Topic: 1}
	for _, n := range []int64{0, 1, historyRowsMax - 1, historyRowsMax, historyRowsMax + 1, 200} {
		rows := &emptied{}
		object := segment.ID{Term: 1, Number: 1, Merged: true}.Key()
		for i := range n {
			rows.rows = append(rows.rows, metastore.ExtentRow{Topic: 1, Base: i * 10, End: i*10 + 10, Object: object, Index: segment.AppendIndex(nil, i*10, &segment.Index{})})
		}
		x := segment.Index{Blocks: []segment.Block{{Base: n*10 + 3, Length: 100}}}
		rows.rows = append(rows.rows, metastore.ExtentRow{Topic: 1, Base: n * 10, End: n*10 + 10, Object: object, Length: 100, Index: segment.AppendIndex(nil, n*10, &x)})
		h := newHistory(rows)
		c, err := h.read(t.Context(), id, 5, shard.Merged{To: n*10 + 10, Version: 1})
		if err != nil {
			t.Fatal(err)
		}
		extents, next, _ := c.plan(5, 1, nil)
		if len(extents) != 1 || extents[0].BaseOffset != n*10+3 || next != n*10+10 || h.find(id, 5, 1) != c {
			t.Errorf("after %d empty rows: %+v, on from %d", n, extents, next)
		}
		if most := 2 + int(n)/historyRowsSkip; rows.statements > most {
			t.Errorf("%d statements for %d rows", rows.statements, n)
		}
		// With nothing behind them either.
		rows.rows = rows.rows[:n]
		if c, err = newHistory(rows).read(t.Context(), id, 5, shard.Merged{To: n * 10, Version: 1}); err != nil || n > 0 && c.to != n*10 {
			t.Errorf("%d empty rows: to %d, %v", n, c.to, err)
		}
	}
}
