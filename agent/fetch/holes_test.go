package fetch

import (
	"context"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// tableRows are the rows of one partition, in the order of their offsets.
type tableRows []metastore.ExtentRow

func (rows tableRows) Extents(_ context.Context, q metastore.ExtentQuery) (found []metastore.ExtentRow, err error) {
	for _, r := range rows {
		if r.End > q.Offset && len(found) < q.Limit {
			found = append(found, r)
		}
	}
	return found, nil
}

// Key compaction leaves holes between batches, and where a block ends too. A reader that asks
// for an offset in one is given what comes behind it, however little it takes at a time.
func TestFetch_HoleAtABlocksEnd(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.flush(false, produced{Key{topic, 0}, makeBatch(300, 1, 0)})
		id := segment.ID{Term: testTerm, Number: 1, Merged: true}
		var b segment.MergedBuilder
		b.Begin(nil, segment.MergedInfo{Cluster: "c", ID: id})
		b.Open([16]byte{1, 1}, 1, 0, 0)
		large := makeBatch(1, segment.BlockBytes, 0) // a block each
		for _, base := range []int64{0, 5, 20} {
			b.Add(base, large)
		}
		b.Close(30, nil) // and one behind all of them
		b.Open([16]byte{1, 1}, 1, 0, 30)
		b.Add(33, large)
		b.Close(40, nil)
		for base := int64(40); base < 290; base += 10 { // rows of which nothing is left, more than one statement reads
			b.Open([16]byte{1, 1}, 1, 0, base)
			b.Close(base+10, nil)
		}
		b.Open([16]byte{1, 1}, 1, 0, 290)
		b.Add(299, large)
		b.Close(300, nil)
		body, extents := b.Finish()
		w.mu.objects[id] = body
		var rows tableRows
		for _, x := range extents {
			rows = append(rows, metastore.ExtentRow{Topic: 1, Base: x.Base, End: x.End, Object: id.Key(), Position: x.Position,
				Length: x.Length, MaxTimestamp: x.MaxTimestamp, Index: x.Coded})
		}
		w.fetcher.history = newHistory(rows)
		w.append(0, shard.AppendSwap(nil, shard.Swap{Partition: shard.PartitionID{Topic: 1}, To: 300, Bytes: 1}))
		w.refresh()
		for _, x := range [][2]int64{{0, 0}, {1, 5}, {5, 5}, {6, 20}, {19, 20}, {20, 20}, {21, 33}, {29, 33}, {30, 33}, {33, 33},
			{34, 299}, {95, 299}, {105, 299}, {150, 299}, {289, 299}, {299, 299}} {
			offset, want := x[0], x[1]
			for _, bytesMax := range []int32{1, segment.BlockBytes, 64 << 20} {
				req := full(asks(topic, offset, 0))
				req.Asks[0].BytesMax = bytesMax
				if got := w.one(t, req); len(got[0].offsets) == 0 || got[0].offsets[0] != want {
					t.Errorf("from %d, %d bytes: %v, want %d first (%v)", offset, bytesMax, got[0].offsets, want, got[0].err)
				}
			}
		}
	})
}
