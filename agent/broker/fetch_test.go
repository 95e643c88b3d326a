package broker

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// newReader returns an agent that serves fetches, from the bucket only.
func newReader(t testing.TB) *agent {
	t.Helper()
	return newReaders(t, newStore(), 1, options{})[0]
}

// newReaders are several over one store and bucket.
func newReaders(t testing.TB, store metastore.Store, n int, o options) (all []*agent) {
	t.Helper()
	var stored bucket.Bucket
	wrap := o.bucket
	o.bucket = func(b bucket.Bucket) bucket.Bucket {
		if stored == nil {
			stored = b
		}
		if wrap != nil {
			return wrap(stored)
		}
		return stored
	}
	for range n {
		a := newAgent(t, store, o)
		buffers, err := cache.NewBuffers(0)
		if err != nil {
			t.Fatal(err)
		}
		load := func(ctx context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
			b, err := stored.Get(ctx, id.Key(), offset, int64(len(dst)))
			return copy(dst, b), err
		}
		blocks, err := fetch.NewBlocks(cache.DefaultConfig(), load, buffers)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(blocks.Cache().Close)
		a.broker.deps.Fetch, err = fetch.New(fetch.DefaultConfig(), testShards, fetch.Deps{
			Replica:   func(i int) *metastore.Replica { return a.follower.Replica(metastore.ShardJournal(i)) },
			Resolve:   fetch.Resolver(a.follower.Replica(metastore.CatalogJournal), testShards),
			Refresher: a.follower,
			Blocks:    blocks,
			Hub:       fetch.NewHub(),
			Clock:     time.Now,
			Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// timed encodes a batch without a producer, of records at the times given.
func timed(times ...int64) []byte {
	rs := make([]batch.Record, len(times))
	for i, at := range times {
		rs[i] = batch.Record{Offset: int64(i), Timestamp: at, Value: []byte("v")}
	}
	return batch.Append(nil, plain(), rs)
}

// fill produces batches into partition 0 of a topic.
func (a *agent) fill(name string, batches ...[]byte) {
	a.t.Helper()
	for _, b := range batches {
		if p := a.produce(9, name, [16]byte{}, b); p.ErrorCode != 0 {
			a.t.Fatalf("produce: %d", p.ErrorCode)
		}
	}
}

func fetchOf(version int16, name string, id [16]byte, offset int64, partitions ...int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = name, id
	for _, i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = i, offset, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func baseOffsets(t testing.TB, b []byte) (all []int64) {
	t.Helper()
	for len(b) > 0 {
		h, err := batch.Verify(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.BaseOffset)
		b = b[h.Size():]
	}
	return all
}

func TestFetch_AllVersions(t *testing.T) {
	a := newReader(t)
	id := a.create("t", 2, nil)
	a.fill("t", timed(1, 2, 3), timed(4), timed(5, 6))
	for version := int16(4); version <= 18; version++ {
		resp := call[*kmsg.FetchResponse](a, fetchOf(version, "t", id, 2, 0, 1))
		if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: %+v", version, resp)
		}
		if version >= 13 && resp.Topics[0].TopicID != id || version < 13 && resp.Topics[0].Topic != "t" {
			t.Errorf("version %d: topic %q %x", version, resp.Topics[0].Topic, resp.Topics[0].TopicID)
		}
		p := resp.Topics[0].Partitions[0]
		if got := baseOffsets(t, p.RecordBatches); p.HighWatermark != 6 || p.LastStableOffset != 6 || !slices.Equal(got, []int64{0, 3, 4}) {
			t.Errorf("version %d: high watermark %d, batches at %v", version, p.HighWatermark, got)
		}
		if p := resp.Topics[0].Partitions[1]; p.ErrorCode != wire.CodeOffsetOutOfRange {
			t.Errorf("version %d: beyond the end: %d", version, p.ErrorCode)
		}
	}
}

func TestFetch_Codes(t *testing.T) {
	a := newReader(t)
	id := a.create("t", 1, nil)
	for _, c := range []struct {
		name string
		req  *kmsg.FetchRequest
		want int16
	}{
		{"an unknown name", fetchOf(12, "u", [16]byte{}, 0, 0), wire.CodeUnknownTopicOrPartition},
		{"no name", fetchOf(12, "", [16]byte{}, 0, 0), wire.CodeUnknownTopicOrPartition},
		{"an unknown id", fetchOf(13, "", [16]byte{9}, 0, 0), wire.CodeUnknownTopicID},
		{"no id", fetchOf(13, "", [16]byte{}, 0, 0), wire.CodeUnknownTopicID},
		{"an unknown partition", fetchOf(13, "", id, 0, 1), wire.CodeUnknownTopicOrPartition},
		{"a negative partition", fetchOf(13, "", id, 0, -1), wire.CodeUnknownTopicOrPartition},
		{"out of range", fetchOf(13, "", id, 1, 0), wire.CodeOffsetOutOfRange},
	} {
		if p := call[*kmsg.FetchResponse](a, c.req).Topics[0].Partitions[0]; p.ErrorCode != c.want || p.HighWatermark != -1 {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
	req := fetchOf(13, "", id, 0, 0)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = 1
	if p := call[*kmsg.FetchResponse](a, req).Topics[0].Partitions[0]; p.ErrorCode != wire.CodeUnknownLeaderEpoch {
		t.Errorf("a later leader epoch: %+v", p)
	}
}

func TestFetch_Session(t *testing.T) {
	a := newReader(t)
	id := a.create("t", 2, nil)
	a.fill("t", timed(1))
	req := fetchOf(18, "", id, 0, 0, 1)
	req.SessionEpoch = 0
	opened := call[*kmsg.FetchResponse](a, req)
	if opened.SessionID == 0 || len(opened.Topics[0].Partitions) != 2 {
		t.Fatalf("%+v", opened)
	}
	next := fetchOf(18, "", id, 1, 0)
	next.SessionID, next.SessionEpoch = opened.SessionID, 1
	if resp := call[*kmsg.FetchResponse](a, next); resp.ErrorCode != 0 || resp.SessionID != opened.SessionID || len(resp.Topics) != 0 {
		t.Errorf("nothing has changed: %+v", resp)
	}
	a.fill("t", timed(2))
	next.SessionEpoch = 2
	if resp := call[*kmsg.FetchResponse](a, next); len(resp.Topics) != 1 || !slices.Equal(baseOffsets(t, resp.Topics[0].Partitions[0].RecordBatches), []int64{1}) {
		t.Errorf("a record came: %+v", resp)
	}
	if resp := call[*kmsg.FetchResponse](a, next); resp.ErrorCode != wire.CodeInvalidFetchSessionEpoch || resp.SessionID != 0 {
		t.Errorf("the same epoch again: %+v", resp)
	}
	byName := fetchOf(12, "t", [16]byte{}, 1, 0)
	byName.SessionID, byName.SessionEpoch = opened.SessionID, 3
	if resp := call[*kmsg.FetchResponse](a, byName); resp.ErrorCode != wire.CodeFetchSessionTopicIDError {
		t.Errorf("topics by name: %+v", resp)
	}
	forget := kmsg.NewPtrFetchRequest()
	forget.Version, forget.SessionID, forget.SessionEpoch = 18, opened.SessionID, 3
	forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{TopicID: id, Partitions: []int32{0, 1}}}
	if resp := call[*kmsg.FetchResponse](a, forget); resp.ErrorCode != 0 || resp.SessionID != 0 || len(resp.Topics) != 0 {
		t.Errorf("all is forgotten: %+v", resp)
	}
	next.SessionEpoch = 4
	if resp := call[*kmsg.FetchResponse](a, next); resp.ErrorCode != wire.CodeFetchSessionIDNotFound {
		t.Errorf("the session has ended: %+v", resp)
	}
}
