package merging

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// A reader that goes through merged history costs a GET each window, whatever it asks for at
// once. All sizes are a sixteenth of an agent's: blocks, windows, segments.
func TestReplay_Gets(t *testing.T) {
	const scale, batchBytes, flushes = 16, 100 << 10, 1000
	w := newWorldOf(t, 256<<20/scale, 64, 8<<20/scale)
	rnd := rand.New(rand.NewPCG(1, 2))
	total := int64(0)
	for range flushes {
		total += w.flushOne(rnd, batchBytes)
	}
	for range 20 {
		if err := w.compactor.Merge(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, fetchBytes := range []int32{1 << 20 / scale, 50 << 20 / scale} {
		before := w.bucket.Gets.Load()
		offset := w.replay(fetchBytes)
		gets := w.bucket.Gets.Load() - before
		if offset != flushes {
			t.Fatalf("read up to %d of %d", offset, flushes)
		}
		windows := float64(total) / (64 << 20 / scale)
		t.Logf("%d GETs for %.1f windows by fetches of %d bytes", gets, windows, fetchBytes)
		if float64(gets) > 1.2*windows {
			t.Errorf("%d GETs for %.1f windows by fetches of %d bytes", gets, windows, fetchBytes)
		}
	}
}

// flushOne writes a batch of a record to partition 0.
func (w *world) flushOne(rnd *rand.Rand, size int) int64 {
	w.t.Helper()
	w.segments++
	id := segment.ID{Term: uint64(w.writer.Term()), Number: w.segments}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", ID: id})
	value := make([]byte, size)
	value[0] = byte(rnd.Uint32())
	data := batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, []batch.Record{{Value: value}})
	position := b.Add(0, [16]byte{1}, 0, data)
	if err := w.bucket.Put(context.Background(), id.Key(), b.Finish()); err != nil {
		w.t.Fatal(err)
	}
	w.append(shard.AppendFlush(nil, id.Number, []shard.FlushBatch{{
		Partition: shard.PartitionID{Topic: 1}, Position: position, Length: int64(len(data)), Offsets: 1, ProducerID: shard.NoProducer,
	}}))
	return int64(len(data))
}

// replay reads partition 0 from the begin to the end.
func (w *world) replay(bytes int32) (offset int64) {
	w.t.Helper()
	for {
		r := w.fetcher.Fetch(context.Background(), &fetch.Request{
			SessionEpoch: -1, MaxBytes: 55 << 20,
			Asks: []fetch.Ask{{Key: fetch.Key{}, Offset: offset, BytesMax: bytes, CurrentEpoch: -1, LastEpoch: -1}},
		})
		if r.Err != nil || r.Partitions[0].Err != nil {
			w.t.Fatal(r.Err, r.Partitions[0].Err)
		}
		got := r.Records(0)
		r.Release()
		if len(got) == 0 {
			return offset
		}
		for len(got) > 0 {
			h, err := batch.Verify(got)
			if err != nil {
				w.t.Fatal(err)
			}
			offset, got = h.LastOffset()+1, got[h.Size():]
		}
	}
}
