package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// world is a metastore of some shards, a bucket, and a Fetcher on a real follower
// and cache.
type world struct {
	t        testing.TB
	cfg      Config
	follower *metastore.Follower
	hub      *Hub
	blocks   *Blocks
	fetcher  *Fetcher
	shards   int

	mu struct {
		sync.Mutex
		journals map[metastore.JournalID][][]byte // entries
		objects  map[segment.ID][]byte
		gets     int
		refused  error // of the metastore
		held     chan struct{}
	}
	segments uint64
	numbers  map[metastore.JournalID]uint64
	topics   map[Topic]uint64 // numbers
}

const testTerm = 7

func newWorld(t testing.TB, shards int, change func(*Config, *cache.Config)) *world {
	w := &world{t: t, cfg: DefaultConfig(), hub: NewHub(), shards: shards,
		numbers: map[metastore.JournalID]uint64{}, topics: map[Topic]uint64{}}
	w.mu.journals = map[metastore.JournalID][][]byte{}
	w.mu.objects = map[segment.ID][]byte{}
	cacheCfg := cache.DefaultConfig()
	cacheCfg.BytesMax, cacheCfg.BlockBytes = 64<<20, 64<<10
	if change != nil {
		change(&w.cfg, &cacheCfg)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	followerCfg := metastore.DefaultFollowerConfig()
	followerCfg.Log = log
	followerCfg.PollEvery = time.Hour // only what is asked for
	w.follower = metastore.NewFollower(w, nil, followerCfg)
	for i := range shards {
		state := shard.New()
		state.OnGrow = w.hub.Grew
		w.follower.Follow(metastore.ShardJournal(i), state)
	}
	if err := w.follower.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	buffers, err := cache.NewBuffers(0)
	if err != nil {
		t.Fatal(err)
	}
	if w.blocks, err = NewBlocks(cacheCfg, w.load, buffers); err != nil {
		t.Fatal(err)
	}
	w.fetcher, err = New(w.cfg, shards, Deps{
		Replica:   func(i int) *metastore.Replica { return w.follower.Replica(metastore.ShardJournal(i)) },
		Resolve:   w.resolve,
		Refresher: w.follower,
		Blocks:    w.blocks,
		Hub:       w.hub,
		Clock:     time.Now,
		Log:       log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs the follower until the test's end.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.follower.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	return func() {
		cancel()
		<-done
		w.blocks.Cache().Close()
	}
}

// Read implements metastore.Reader.
func (w *world) Read(_ context.Context, positions []metastore.Position, _ int) ([]metastore.Tail, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.refused != nil {
		return nil, w.mu.refused
	}
	var tails []metastore.Tail
	for _, p := range positions {
		entries := w.mu.journals[p.Journal]
		t := metastore.Tail{Journal: p.Journal, Head: metastore.Version(len(entries))}
		for v := p.After; v < t.Head; v++ {
			t.Entries = append(t.Entries, metastore.StoredEntry{Version: v + 1, Payload: entries[v]})
		}
		tails = append(tails, t)
	}
	return tails, nil
}

func (w *world) Snapshots(context.Context, []metastore.JournalID) ([]metastore.SnapshotPlace, error) {
	return nil, nil
}

// load is the cache's: a GET.
func (w *world) load(_ context.Context, id segment.ID, offset int64, dst []byte) (int, error) {
	w.mu.Lock()
	w.mu.gets++
	body, ok := w.mu.objects[id]
	held := w.mu.held
	w.mu.Unlock()
	if held != nil {
		<-held
	}
	if !ok {
		return 0, bucket.ErrNotFound
	}
	if offset >= int64(len(body)) {
		return 0, nil
	}
	return copy(dst, body[offset:]), nil
}

func (w *world) gets() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.gets
}

// topic makes a topic of some partitions.
func (w *world) topic(name string, partitions int32) Topic {
	topic := Topic{Name: name}
	number := uint64(len(w.topics) + 1)
	w.topics[topic] = number
	id := [16]byte{1, byte(number)}
	w.topics[Topic{ID: id}] = number
	for _, o := range shard.Openings(number, id, 0, 0, partitions, w.shards) {
		w.append(o.Shard, shard.AppendOpened(nil, o.Opened))
	}
	return topic
}

func byID(number byte) Topic { return Topic{ID: [16]byte{1, number}} }

func (w *world) resolve(key Key) (Place, error) {
	number, ok := w.topics[key.Topic]
	switch {
	case !ok && key.Topic.Name == "":
		return Place{}, ErrUnknownTopicID
	case !ok:
		return Place{}, ErrUnknownPartition
	}
	return Place{ID: shard.PartitionID{Topic: number, Index: key.Partition}, Shard: int(key.Partition) % w.shards}, nil
}

// append adds an entry to a shard's journal; the replica doesn't know of it yet.
func (w *world) append(i int, effects []byte) {
	id := metastore.ShardJournal(i)
	w.numbers[id]++
	entry := metastore.AppendHeader(nil, metastore.Header{Term: testTerm, Number: w.numbers[id], Time: 1})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.journals[id] = append(w.mu.journals[id], append(entry, effects...))
}

// produced is a batch of a flush.
type produced struct {
	key   Key
	bytes []byte
}

// flush writes a segment of batches into the bucket, or the cache where through is
// set, and appends it to the shards' journals. refresh makes it known.
func (w *world) flush(through bool, batches ...produced) segment.ID {
	w.segments++
	id := segment.ID{Term: testTerm, Number: w.segments}
	body := []byte("head")
	perShard := map[int][]shard.FlushBatch{}
	for _, b := range batches {
		place, err := w.resolve(b.key)
		if err != nil {
			w.t.Fatal(err)
		}
		h, err := batch.Parse(b.bytes)
		if err != nil {
			w.t.Fatal(err)
		}
		named := shard.FlushBatch{
			Partition: place.ID, Position: int64(len(body)), Length: int64(len(b.bytes)),
			Offsets: h.LastOffsetDelta + 1, MaxTimestamp: h.MaxTimestamp, ProducerID: -1,
		}
		if h.Transactional() { // a producer's transactions have its epochs for numbers
			named.ProducerID, named.Epoch, named.BaseSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
			named.Transaction = uint64(h.ProducerEpoch) + 1
		}
		perShard[place.Shard] = append(perShard[place.Shard], named)
		body = append(body, b.bytes...)
	}
	body = append(body, "foot"...)
	w.mu.Lock()
	w.mu.objects[id] = body
	w.mu.Unlock()
	if through {
		w.blocks.Put(id, append([]byte(nil), body...), nil)
	}
	for i, batches := range perShard {
		w.append(i, shard.AppendFlush(nil, id.Number, batches))
	}
	return id
}

func (w *world) refresh() {
	w.t.Helper()
	for i := range w.shards {
		if err := w.follower.Refresh(context.Background(), metastore.ShardJournal(i)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// refuse has the metastore fail, or work again with nil.
func (w *world) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.refused = err
}

var errRefused = errors.New("refused")

// makeBatch returns a batch of some records, each with a value of so many bytes, at
// timestamps from first on. Its base offset is left 0, as producers do.
func makeBatch(records, valueBytes int, first int64) []byte {
	var rs []batch.Record
	for i := range records {
		value := make([]byte, valueBytes)
		copy(value, fmt.Sprintf("value %d", i))
		rs = append(rs, batch.Record{Offset: int64(i), Timestamp: first + int64(i), Value: value})
	}
	h := batch.Header{FirstTimestamp: first, MaxTimestamp: first + int64(records) - 1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	return batch.Append(nil, h, rs)
}

// asks asks for partitions of a topic from an offset on.
func asks(topic Topic, offset int64, partitions ...int32) []Ask {
	var all []Ask
	for _, p := range partitions {
		all = append(all, Ask{Key: Key{topic, p}, Offset: offset, BytesMax: 1 << 20, CurrentEpoch: -1, LastEpoch: -1})
	}
	return all
}

func full(asks []Ask) *Request {
	return &Request{SessionEpoch: -1, Asks: asks, MinBytes: 1, MaxBytes: 50 << 20}
}

// code is the test's table of codes.
func code(err error) int16 {
	for i, e := range []error{ErrSessionNotFound, ErrSessionEpoch, ErrSessionTopicIDs, ErrUnknownTopicID, ErrUnknownPartition,
		ErrOffsetOutOfRange, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch, ErrStale, ErrCorrupt, ErrStorage} {
		if errors.Is(err, e) {
			return int16(i + 1)
		}
	}
	if err != nil {
		return -1
	}
	return 0
}

// decode encodes a response at a version and decodes it with kmsg.
func decode(t testing.TB, r *Response, version int16) *kmsg.FetchResponse {
	t.Helper()
	var body []byte
	for _, b := range r.Encode(version, code) {
		body = append(body, b...)
	}
	m := &kmsg.FetchResponse{Version: version}
	if err := m.ReadFrom(body); err != nil {
		t.Fatalf("version %d: %v", version, err)
	}
	if again := m.AppendTo(nil); string(again) != string(body) {
		t.Fatalf("version %d:\n%x\nis not what kmsg encodes:\n%x", version, body, again)
	}
	return m
}

// offsets returns the base and last offsets of the batches in bytes.
func offsets(t testing.TB, b []byte) (all []int64) {
	t.Helper()
	for len(b) > 0 {
		h, err := batch.Verify(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.BaseOffset, h.LastOffset())
		b = b[h.Size():]
	}
	return all
}

// fixCRC makes a batch's checksum right again.
func fixCRC(b []byte) {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[crcFrom:], castagnoli))
}
