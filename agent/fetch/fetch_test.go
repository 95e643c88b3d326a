package fetch

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/cache"
)

// inWorld runs a test in a bubble with a world of some shards whose follower runs.
func inWorld(t *testing.T, shards int, change func(*Config, *cache.Config), test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shards, change)
		defer w.run()()
		test(t, w)
	})
}

// one fetches and returns what each partition got: the batches' offsets.
func (w *world) one(t *testing.T, req *Request) []fetched {
	t.Helper()
	r := w.fetcher.Fetch(t.Context(), req)
	defer r.Release()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return read(t, r)
}

type fetched struct {
	err     error
	high    int64
	offsets []int64
	bytes   int
}

func read(t *testing.T, r *Response) (all []fetched) {
	t.Helper()
	m := decode(t, r, 4)
	i := 0
	for _, topic := range m.Topics {
		for _, p := range topic.Partitions {
			all = append(all, fetched{r.Partitions[i].Err, p.HighWatermark, offsets(t, p.RecordBatches), len(p.RecordBatches)})
			i++
		}
	}
	return all
}

func TestFetch_OffsetInsideABatch(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		w.flush(true, produced{key, makeBatch(3, 10, 0)}, produced{key, makeBatch(4, 10, 0)}, produced{key, makeBatch(2, 10, 0)})
		w.refresh()
		for offset, want := range map[int64][]int64{
			0: {0, 2, 3, 6, 7, 8}, 2: {0, 2, 3, 6, 7, 8}, 3: {3, 6, 7, 8}, 5: {3, 6, 7, 8}, 8: {7, 8}, 9: nil,
		} {
			if got := w.one(t, full(asks(topic, offset, 0))); !slices.Equal(got[0].offsets, want) || got[0].err != nil {
				t.Errorf("from %d: %v, %v", offset, got[0].offsets, got[0].err)
			}
		}
	})
}

func TestFetch_ByteRules(t *testing.T) {
	b := makeBatch(1, 1000, 0)
	size := len(b)
	for _, c := range []struct {
		name         string
		max, partMax int
		want         []int // batches of partitions 0 to 2, of which 0 is empty
	}{
		{"room for all", 1 << 20, 1 << 20, []int{0, 2, 2}},
		{"one batch for each partition", 1 << 20, size, []int{0, 1, 1}},
		{"a partition's limit below a batch: the first batch of the request goes along", 1 << 20, size - 1, []int{0, 1, 0}},
		{"the request's limit below a batch", 1, 1 << 20, []int{0, 1, 0}},
		{"both limits 0", 0, 0, []int{0, 1, 0}},
		{"the request's limit is used up by the first partition", 2 * size, 1 << 20, []int{0, 2, 0}},
		{"the request's limit leaves a batch for the next", 3 * size, 1 << 20, []int{0, 2, 1}},
		{"the request's limit leaves less than a batch", 3*size - 1, 1 << 20, []int{0, 2, 0}},
		{"negative limits are none", -1, -1, []int{0, 1, 0}},
	} {
		inWorld(t, 2, nil, func(t *testing.T, w *world) {
			topic := w.topic("t", 3)
			for range 2 {
				w.flush(true, produced{Key{topic, 1}, b}, produced{Key{topic, 2}, b})
			}
			w.refresh()
			req := full(asks(topic, 0, 0, 1, 2))
			req.MaxBytes = c.max
			for i := range req.Asks {
				req.Asks[i].BytesMax = int32(c.partMax)
			}
			for i, got := range w.one(t, req) {
				if got.bytes != c.want[i]*size || got.err != nil {
					t.Errorf("%s: partition %d got %d bytes, not %d batches of %d; %v", c.name, i, got.bytes, c.want[i], size, got.err)
				}
			}
		})
	}
}

func TestFetch_ResponseIsBounded(t *testing.T) {
	b := makeBatch(1, 1000, 0)
	inWorld(t, 1, func(c *Config, _ *cache.Config) { c.ResponseBytesMax = 3 * len(b) }, func(t *testing.T, w *world) {
		topic := w.topic("t", 4)
		for range 4 {
			for p := range int32(4) {
				w.flush(true, produced{Key{topic, p}, b})
			}
		}
		w.refresh()
		r := w.fetcher.Fetch(t.Context(), full(asks(topic, 0, 0, 1, 2, 3)))
		defer r.Release()
		if r.Bytes != 3*len(b) {
			t.Errorf("%d bytes", r.Bytes)
		}
	})
}

func TestFetch_SessionRotatesFairly(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 3)
		b := makeBatch(1, 1000, 0)
		for range 10 {
			for p := range int32(3) {
				w.flush(true, produced{Key{topic, p}, b})
			}
		}
		w.refresh()
		req := &Request{Asks: asks(topic, 0, 0, 1, 2), MinBytes: 1, MaxBytes: 1} // room for one batch only
		var order []int32
		for range 6 {
			r := w.fetcher.Fetch(t.Context(), req)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			next := &Request{SessionID: r.SessionID, SessionEpoch: req.SessionEpoch + 1, MinBytes: 1, MaxBytes: 1}
			for _, p := range r.Partitions {
				if p.Bytes > 0 {
					order = append(order, p.Partition)
					next.Asks = asks(topic, int64(len(order))/3, p.Partition)
				}
			}
			r.Release()
			req = next
		}
		// The order of a new session is the request's; who had records goes to its end from then on.
		if !slices.Equal(order, []int32{0, 0, 1, 2, 0, 1}) {
			t.Errorf("partitions were served in the order %v", order)
		}
	})
}

func TestFetch_ErrorsOfPartitions(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		for _, c := range []struct {
			name  string
			ask   Ask
			want  error
			waits bool
		}{
			{"beyond the end", Ask{Key: Key{topic, 0}, Offset: 6, CurrentEpoch: -1, LastEpoch: -1}, ErrOffsetOutOfRange, false},
			{"before the begin", Ask{Key: Key{topic, 0}, Offset: -1, CurrentEpoch: -1, LastEpoch: -1}, ErrOffsetOutOfRange, false},
			{"at the end", Ask{Key: Key{topic, 0}, Offset: 5, CurrentEpoch: -1, LastEpoch: -1}, nil, true},
			{"this leader epoch", Ask{Key: Key{topic, 0}, Offset: 5, LastEpoch: -1}, nil, true},
			{"a later leader epoch", Ask{Key: Key{topic, 0}, CurrentEpoch: 1, LastEpoch: -1}, ErrUnknownLeaderEpoch, false},
			{"a partition that there isn't", Ask{Key: Key{topic, 2}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownPartition, false},
			{"a topic that there isn't", Ask{Key: Key{Topic{Name: "u"}, 0}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownPartition, false},
			{"a topic id that there isn't", Ask{Key: Key{byID(9), 0}, CurrentEpoch: -1, LastEpoch: -1}, ErrUnknownTopicID, false},
			{"the last epoch is later", Ask{Key: Key{topic, 0}, Offset: 1, CurrentEpoch: -1, LastEpoch: 1}, ErrOffsetOutOfRange, false},
		} {
			req := full([]Ask{c.ask})
			req.MaxWait = time.Second
			began := time.Now()
			got := w.one(t, req)[0]
			if !errors.Is(got.err, c.want) || (got.err == nil) != (c.want == nil) {
				t.Errorf("%s: %v", c.name, got.err)
			}
			if got.err != nil && got.high != -1 {
				t.Errorf("%s: a high watermark of %d with an error", c.name, got.high)
			}
			if waited := time.Since(began) > 0; waited != c.waits {
				t.Errorf("%s: waited %v", c.name, waited)
			}
		}
	})
}

func TestFetch_DivergingEpoch(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		req := full(asks(topic, 7, 0))
		req.Asks[0].LastEpoch, req.MaxWait = 0, time.Second
		r := w.fetcher.Fetch(t.Context(), req)
		defer r.Release()
		p := decode(t, r, 12).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 5 {
			t.Errorf("%+v", p)
		}
	})
}

func TestFetch_RefreshesBeforeItRefuses(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.refresh()
		b := makeBatch(5, 10, 0)
		w.flush(true, produced{Key{topic, 1}, b}) // by another agent: nobody told this one
		w.flush(true, produced{Key{topic, 1}, b})
		if got := w.one(t, full(asks(topic, 7, 1)))[0]; got.err != nil || !slices.Equal(got.offsets, []int64{5, 9}) {
			t.Errorf("%+v", got)
		}
		// A partition that was opened meanwhile is known after a refresh, too.
		other := w.topic("new", 1)
		if got := w.one(t, full(asks(other, 0, 0)))[0]; got.err != nil || got.high != 0 {
			t.Errorf("%+v", got)
		}
		// Within the bounds no refresh is needed.
		before := w.fetcher.Stats().Refreshes
		w.one(t, full(asks(topic, 0, 1)))
		if n := w.fetcher.Stats().Refreshes - before; n != 0 {
			t.Errorf("%d refreshes", n)
		}
		// What can't be refreshed can't be refused for good.
		w.refuse(errRefused)
		if got := w.one(t, full(asks(topic, 20, 1)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("%v", got.err)
		}
	})
}

func TestFetch_StaleReplicaAnswersNothing(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.flush(true, produced{Key{topic, 0}, makeBatch(5, 10, 0)})
		w.refresh()
		w.refuse(errRefused)
		time.Sleep(w.cfg.StalenessMax)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; got.err != nil {
			t.Errorf("at the limit: %v", got.err)
		}
		time.Sleep(time.Millisecond)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("beyond the limit: %v", got.err)
		}
		w.refuse(nil)
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; got.err != nil {
			t.Errorf("the metastore is back: %v", got.err)
		}
	})
}

func TestFetch_HighWatermarkNeverGoesBack(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		w.refresh()
		w.fetcher.newest(0, 100) // another replica of the shard was further
		if got := w.one(t, full(asks(topic, 0, 0)))[0]; !errors.Is(got.err, ErrStale) {
			t.Errorf("%v", got.err)
		}
	})
}

func TestFetch_JournalStopped(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		w.flush(true, produced{Key{topic, 0}, b}, produced{Key{topic, 1}, b})
		w.refresh()
		w.append(1, []byte{99, 0})
		_ = w.follower.Refresh(t.Context(), w.follower.Replicas()[1].ID())
		got := w.one(t, full(asks(topic, 0, 0, 1)))
		if got[0].err != nil || !errors.Is(got[1].err, ErrStorage) {
			t.Errorf("%+v", got)
		}
	})
}

// TestFetch_Preferred: who is to read elsewhere is told so at once, and gets no records.
func TestFetch_Preferred(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.flush(true, produced{Key{topic, 0}, makeBatch(3, 10, 0)}, produced{Key{topic, 1}, makeBatch(3, 10, 0)})
		w.refresh()
		req := full(asks(topic, 0, 0, 1, 7))
		req.MaxWait, req.MinBytes = time.Minute, 1<<20
		place, err := w.fetcher.deps.Resolve(Key{topic, 0})
		if err != nil {
			t.Fatal(err)
		}
		req.Preferred = func(shard int) int32 {
			if shard == place.Shard {
				return 9
			}
			return 0
		}
		began := time.Now()
		r := w.fetcher.Fetch(t.Context(), req)
		defer r.Release()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it waited %v", waited)
		}
		for i, want := range []Partition{{Preferred: 9, HighWatermark: 3}, {HighWatermark: 3}, {HighWatermark: -1}} {
			if p := r.Partitions[i]; p.Preferred != want.Preferred || p.HighWatermark != want.HighWatermark || (p.Bytes > 0) != (i == 1) || (p.Err != nil) != (i == 2) {
				t.Errorf("partition %d: %+v", i, p)
			}
		}
	})
}
