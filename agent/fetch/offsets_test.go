package fetch

import (
	"errors"
	"testing"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore/shard"
)

func (w *world) offset(t *testing.T, key Key, timestamp int64) Offset {
	t.Helper()
	return w.fetcher.Offsets(t.Context(), []OffsetAsk{{Key: key, CurrentEpoch: -1, Timestamp: timestamp}})[0]
}

func TestOffsets(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		key := Key{topic, 0}
		w.flush(false, produced{key, makeBatch(3, 10, 100)}, produced{key, makeBatch(3, 10, 200)}) // offsets 0–2, 3–5
		w.flush(false, produced{key, makeBatch(3, 10, 150)})                                       // 6–8
		w.flush(false, produced{key, makeBatch(3, 10, 300)}, produced{key, makeBatch(1, 10, 50)})  // 9–11, 12
		// No refresh: asking does it.
		for _, c := range []struct {
			name      string
			timestamp int64
			want      Offset
		}{
			{"latest", TimestampLatest, Offset{13, -1, 0, nil}},
			{"earliest", TimestampEarliest, Offset{0, -1, 0, nil}},
			{"earliest local", TimestampEarliestLocal, Offset{0, -1, 0, nil}},
			{"latest tiered", TimestampLatestTiered, Offset{-1, -1, -1, nil}},
			{"earliest pending upload", TimestampEarliestPendingUpload, Offset{-1, -1, -1, nil}},
			{"max timestamp", TimestampMax, Offset{11, 302, 0, nil}},
			{"the first record", 0, Offset{0, 100, 0, nil}},
			{"inside a batch", 101, Offset{1, 101, 0, nil}},
			{"between batches", 103, Offset{3, 200, 0, nil}},
			{"the last record of a batch", 202, Offset{5, 202, 0, nil}},
			{"after the disorder", 203, Offset{9, 300, 0, nil}},
			{"the latest record", 302, Offset{11, 302, 0, nil}},
			{"later than all", 303, Offset{-1, -1, -1, nil}},
		} {
			if got := w.offset(t, key, c.timestamp); got != c.want {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
		empty := Key{topic, 1}
		for timestamp, want := range map[int64]Offset{
			TimestampLatest: {0, -1, 0, nil}, TimestampEarliest: {0, -1, 0, nil},
			TimestampMax: {-1, -1, -1, nil}, 0: {-1, -1, -1, nil},
		} {
			if got := w.offset(t, empty, timestamp); got != want {
				t.Errorf("%d in an empty partition: %+v", timestamp, got)
			}
		}
	})
}

func TestOffsets_AfterTheLogStartMoved(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		w.flush(true, produced{key, makeBatch(3, 10, 500)}, produced{key, makeBatch(3, 10, 200)}) // one extent, 0–5
		w.flush(true, produced{key, makeBatch(3, 10, 300)})                                       // 6–8
		w.append(0, shard.AppendLogStart(nil, shard.PartitionID{Topic: 1}, 4))
		for timestamp, want := range map[int64]Offset{
			TimestampEarliest: {4, -1, 0, nil},
			0:                 {4, 201, 0, nil},
			300:               {6, 300, 0, nil},
			400:               {-1, -1, -1, nil},
			TimestampMax:      {8, 302, 0, nil},
		} {
			if got := w.offset(t, key, timestamp); got != want {
				t.Errorf("%d: %+v", timestamp, got)
			}
		}
	})
}

func TestOffsets_RecordsThatCannotBeRead(t *testing.T) {
	inWorld(t, 1, func(c *Config, _ *cache.Config) { c.DecompressedBytesMax = 1 << 20 }, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		key := Key{topic, 0}
		broken := makeBatch(3, 10, 100)
		broken[len(broken)-1] = 7 // a count of headers that aren't there
		fixCRC(broken)
		w.flush(true, produced{key, makeBatch(2, 10, 0)}, produced{key, broken})
		if got := w.offset(t, key, 101); got.Err != nil || got.Offset < 2 || got.Offset > 3 {
			t.Errorf("%+v", got)
		}
	})
}

func TestOffsets_Errors(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		all := w.fetcher.Offsets(t.Context(), []OffsetAsk{
			{Key: Key{topic, 0}, CurrentEpoch: 1, Timestamp: TimestampLatest},
			{Key: Key{topic, 9}, CurrentEpoch: -1, Timestamp: TimestampLatest},
			{Key: Key{Topic{Name: "u"}, 0}, CurrentEpoch: -1, Timestamp: TimestampLatest},
			{Key: Key{topic, 1}, CurrentEpoch: 0, Timestamp: TimestampLatest},
		})
		for i, want := range []error{ErrUnknownLeaderEpoch, ErrUnknownPartition, ErrUnknownPartition, nil} {
			if !errors.Is(all[i].Err, want) || want == nil && all[i].Err != nil {
				t.Errorf("%d: %+v", i, all[i])
			}
		}
		w.refuse(errRefused)
		if got := w.offset(t, Key{topic, 0}, TimestampLatest); !errors.Is(got.Err, ErrStale) {
			t.Errorf("without the metastore: %+v", got)
		}
	})
}

func TestOffsets_AStoppedJournalSilencesItsShardOnly(t *testing.T) {
	inWorld(t, 2, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		w.refresh()
		w.append(1, []byte{99, 0})
		all := w.fetcher.Bounds(t.Context(), []Key{{topic, 0}, {topic, 1}})
		if all[0].Err != nil || !errors.Is(all[1].Err, ErrStorage) {
			t.Errorf("%+v", all)
		}
	})
}
