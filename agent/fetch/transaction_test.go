package fetch

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

// inTransaction returns a batch of a producer's transaction, which the world's shards number epoch + 1.
func inTransaction(producer int64, epoch int16, sequence int32, records int) []byte {
	var rs []batch.Record
	for i := range records {
		rs = append(rs, batch.Record{Offset: int64(i), Timestamp: 100, Value: []byte("value")})
	}
	const transactional = 0x10
	return batch.Append(nil, batch.Header{Attributes: transactional, ProducerID: producer, ProducerEpoch: epoch, BaseSequence: sequence}, rs)
}

// end appends the marker of a producer's transaction.
func (w *world) end(key Key, producer int64, epoch int16, commit bool) {
	place, err := w.resolve(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.append(place.Shard, shard.AppendMarker(nil, shard.Marker{Producer: producer, Transaction: uint64(epoch) + 1, Epoch: epoch,
		Commit: commit, CoordinatorEpoch: 3, Timestamp: 500, Partitions: []shard.PartitionID{place.ID}}))
}

// interleaved has, in offsets: 0–1 of nobody, 2–4 of producer 7, 5–6 of producer 8, 7 of producer 7, 8 its
// abort, 9 of nobody, 10 producer 8's commit, 11 of producer 7's next transaction, which is open, 12 of nobody.
func interleaved(w *world, key Key) {
	w.flush(true, produced{key, makeBatch(2, 10, 0)}, produced{key, inTransaction(7, 0, 0, 3)}, produced{key, inTransaction(8, 0, 0, 2)})
	w.flush(true, produced{key, inTransaction(7, 0, 3, 1)})
	w.end(key, 7, 0, false)
	w.flush(true, produced{key, makeBatch(1, 10, 0)})
	w.end(key, 8, 0, true)
	w.flush(true, produced{key, inTransaction(7, 1, 0, 1)}, produced{key, makeBatch(1, 10, 0)})
	w.refresh()
}

// consume reads all as the Java consumer does (CompletedFetch): a producer is aborted from the
// first offset of a transaction in the list on, until its marker. It returns the offsets
// delivered, and where the reader stands.
func consume(t *testing.T, w *world, topic Topic, offset int64, committed bool, partitionBytes int32) (delivered []int64, next int64) {
	t.Helper()
	for range 100 {
		ask := asks(topic, offset, 0)
		ask[0].BytesMax = partitionBytes
		req := full(ask)
		req.ReadCommitted = committed
		r := w.fetcher.Fetch(t.Context(), req)
		p := decode(t, r, 11).Topics[0].Partitions[0]
		r.Release()
		if p.ErrorCode != 0 || committed != (p.AbortedTransactions != nil) {
			t.Fatalf("%+v", p)
		}
		if len(p.RecordBatches) == 0 {
			return delivered, offset
		}
		aborted := map[int64]bool{}
		list := slices.Clone(p.AbortedTransactions)
		for b := p.RecordBatches; len(b) > 0; {
			h, err := batch.Verify(b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				if list[i].FirstOffset <= h.LastOffset() {
					aborted[list[i].ProducerID] = true
					list[i].FirstOffset = 1 << 60
				}
			}
			if h.Control() {
				delete(aborted, h.ProducerID)
			} else if !committed || !h.Transactional() || !aborted[h.ProducerID] {
				for o := max(offset, h.BaseOffset); o <= h.LastOffset(); o++ {
					delivered = append(delivered, o)
				}
			}
			offset = h.LastOffset() + 1
			b = b[h.Size():]
		}
	}
	t.Fatal("the reader stands still")
	return nil, 0
}

// A reader gets committed records only, whatever it is given at once, and passes over markers and aborted records.
func TestFetch_ReadCommitted(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		interleaved(w, Key{topic, 0})
		for _, partitionBytes := range []int32{1, 100, 200, 300, 500, 1 << 20} {
			if got, next := consume(t, w, topic, 0, true, partitionBytes); !slices.Equal(got, []int64{0, 1, 5, 6, 9}) || next != 11 {
				t.Errorf("%d bytes at once: %v, up to %d", partitionBytes, got, next)
			}
			if got, next := consume(t, w, topic, 3, true, partitionBytes); !slices.Equal(got, []int64{5, 6, 9}) || next != 11 {
				t.Errorf("from inside the aborted one, %d bytes at once: %v, up to %d", partitionBytes, got, next)
			}
			if got, next := consume(t, w, topic, 0, false, partitionBytes); !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12}) || next != 13 {
				t.Errorf("read_uncommitted, %d bytes at once: %v, up to %d", partitionBytes, got, next)
			}
		}
	})
}

// The answer names the transactions that reach into what it holds, and no others; both kinds of
// readers learn the last stable offset.
func TestFetch_AbortedAndLastStable(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		interleaved(w, Key{topic, 0})
		for _, c := range []struct {
			offset int64
			bytes  int32
			want   int
		}{{0, 1, 0}, {0, 1 << 20, 1}, {8, 1 << 20, 1}, {9, 1 << 20, 0}} {
			ask := asks(topic, c.offset, 0)
			ask[0].BytesMax = c.bytes
			for _, committed := range []bool{true, false} {
				req := full(ask)
				req.ReadCommitted = committed
				r := w.fetcher.Fetch(t.Context(), req)
				p := r.Partitions[0]
				if p.LastStable != 11 || p.HighWatermark != 13 {
					t.Errorf("stable to %d of %d", p.LastStable, p.HighWatermark)
				}
				// One byte asks for the extent of the first three batches, which the transaction reaches into.
				if n := len(p.Aborted); committed && n != c.want && c.bytes > 1 || !committed && n != 0 {
					t.Errorf("from %d on, %d bytes, committed %t: aborted %v", c.offset, c.bytes, committed, p.Aborted)
				}
				r.Release()
			}
		}
	})
}

// A control batch is the same bytes for every reader at every time.
func TestFetch_ControlBatches(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		for epoch := range int16(40) { // more than one array of them holds
			w.end(Key{topic, 0}, 7, epoch, epoch%2 == 0)
		}
		w.refresh()
		r := w.fetcher.Fetch(t.Context(), full(asks(topic, 0, 0)))
		defer r.Release()
		all := decode(t, r, 4).Topics[0].Partitions[0].RecordBatches
		if len(all) != 40*batch.ControlSize || w.gets() != 0 {
			t.Fatalf("%d bytes, %d GETs", len(all), w.gets())
		}
		for i := range 40 {
			want := batch.AppendControl(nil, batch.Control{BaseOffset: int64(i), Timestamp: 500, ProducerID: 7,
				ProducerEpoch: int16(i), CoordinatorEpoch: 3, Commit: i%2 == 0})
			one := w.fetcher.Fetch(t.Context(), full(asks(topic, int64(i), 0)))
			alone := decode(t, one, 4).Topics[0].Partitions[0].RecordBatches[:batch.ControlSize]
			if got := all[i*batch.ControlSize:][:batch.ControlSize]; !slices.Equal(got, want) || !slices.Equal(alone, want) {
				t.Errorf("marker %d is\n%x, alone\n%x, want\n%x", i, got, alone, want)
			}
			one.Release()
		}
	})
}

// A reader of committed records waits while there are open ones only, and wakes by the marker.
func TestFetch_WaitsForTheMarker(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		w.flush(true, produced{key, inTransaction(7, 0, 0, 3)})
		w.refresh()
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			time.Sleep(time.Second)
			w.end(key, 7, 0, true)
			w.refresh()
		})
		req := full(asks(topic, 0, 0))
		req.ReadCommitted, req.MaxWait = true, 10*time.Second
		began := time.Now()
		got := w.one(t, req)[0]
		if took := time.Since(began); took != time.Second || !slices.Equal(got.offsets, []int64{0, 2, 3, 3}) {
			t.Errorf("%v after %v", got, took)
		}
	})
}

// ListOffsets: the end of a reader of committed records is the last stable offset; control records have times, as in Kafka.
func TestOffsets_Transactions(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		interleaved(w, key)
		for _, c := range []struct {
			timestamp int64
			committed bool
			want      int64
		}{
			{TimestampLatest, true, 11}, {TimestampLatest, false, 13}, {TimestampEarliest, true, 0},
			{100, true, 2}, {500, true, 8}, {501, false, -1}, {TimestampMax, false, 8},
		} {
			got := w.fetcher.Offsets(t.Context(), []OffsetAsk{{Key: key, CurrentEpoch: -1, Timestamp: c.timestamp, ReadCommitted: c.committed}})[0]
			if got.Offset != c.want || got.Err != nil {
				t.Errorf("%d, committed %t: %+v, want %d", c.timestamp, c.committed, got, c.want)
			}
		}
	})
}
