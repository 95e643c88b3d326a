package compaction

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// objects is a bucket in memory whose requests go wrong as the test says.
type objects struct {
	mu     sync.Mutex
	bodies map[string][]byte
	puts   int
	gets   int
	// The hooks run without the lock; each may return an error instead of an answer.
	onPut    func(key string, body []byte) ([]byte, error) // what is stored, and what is answered
	onGet    func(key string, got []byte) error
	onDelete func(key string) error
}

var errGone = errors.New("the object does not exist")

func (o *objects) Put(_ context.Context, key string, body []byte) error {
	var err error
	if o.onPut != nil {
		body, err = o.onPut(key, bytes.Clone(body))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.puts++
	if _, taken := o.bodies[key]; taken {
		return errors.New("the object exists already")
	}
	if body != nil {
		o.bodies[key] = bytes.Clone(body)
	}
	return err
}

// Begin has what goes wrong with a put go wrong with the upload's end.
func (o *objects) Begin(_ context.Context, key string) (Upload, error) {
	return &upload{objects: o, key: key}, nil
}

type upload struct {
	objects *objects
	key     string
	body    []byte
}

func (u *upload) Part(_ context.Context, body []byte) error {
	u.body = append(u.body, body...)
	return nil
}
func (u *upload) Commit(ctx context.Context) error { return u.objects.Put(ctx, u.key, u.body) }
func (u *upload) Abort(context.Context) error      { return nil }

func (o *objects) GetInto(_ context.Context, key string, offset int64, dst []byte) (int, error) {
	o.mu.Lock()
	body, ok := o.bodies[key]
	o.gets++
	o.mu.Unlock()
	if !ok {
		return 0, errGone
	}
	n := 0
	if offset < int64(len(body)) {
		n = copy(dst, body[offset:])
	}
	if o.onGet != nil {
		if err := o.onGet(key, dst[:n]); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (o *objects) Delete(_ context.Context, key string) error {
	if o.onDelete != nil {
		if err := o.onDelete(key); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.bodies, key)
	return nil
}

func (o *objects) List(_ context.Context, prefix, after string) ([]Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Object
	for key, body := range o.bodies {
		if strings.HasPrefix(key, prefix) && key > after {
			all = append(all, Object{key, int64(len(body))})
		}
	}
	slices.SortFunc(all, func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
	return all[:min(len(all), ListMax)], nil
}

func (o *objects) keys(prefix string) []string {
	list, _ := o.List(context.Background(), prefix, "")
	var keys []string
	for _, l := range list {
		keys = append(keys, l.Key)
	}
	return keys
}

// policies is a catalog of the topics that are there.
type policies struct {
	mu      sync.Mutex
	topics  map[uint64]Policy
	deleted map[uint64]bool
}

func (p *policies) Policy(topic uint64) (Policy, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	policy, ok := p.topics[topic]
	return policy, ok
}

func (p *policies) Deleted(topic uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deleted[topic]
}

const (
	testShards  = 2
	testCluster = "MkU3OEVBNTcwNTJENDM2Qg"
)

// world is a cluster: a metastore, a bucket, and agents.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	now     time.Time
	store   *memory.Store
	bucket  *objects
	catalog *policies
	random  *rand.Rand
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.UnixMilli(1_700_000_000_000), random: rand.New(rand.NewPCG(7, 11))}
	w.store = memory.New(w.clock, metastore.Cluster{ID: testCluster, Shards: testShards, Groups: 1, Transactions: 1})
	w.bucket = &objects{bodies: map[string][]byte{}}
	w.catalog = &policies{topics: map[uint64]Policy{}, deleted: map[uint64]bool{}}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// agent is a term with replicas, that flushes and compacts.
type agent struct {
	*Compactor
	w        *world
	term     metastore.Term
	follower *metastore.Follower
	writer   *metastore.Writer
	segments uint64
}

// faults wraps the store that an agent's writer appends to.
type faults struct {
	metastore.Store
	onRows func() (lose bool, err error)
}

func (f *faults) AppendRows(ctx context.Context, term metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	lose := false
	if f.onRows != nil {
		var err error
		if lose, err = f.onRows(); err != nil {
			return nil, err
		}
	}
	versions, err := f.Store.AppendRows(ctx, term, parts, rows)
	if lose {
		return nil, errors.New("connection reset")
	}
	return versions, err
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Share = 1
	cfg.Log = quiet
	cfg.BytesPerSecond = 0
	cfg.JobBytesMax, cfg.PieceBytes = 1<<20, 64<<10
	cfg.Fan = 3
	return cfg
}

// leaseLong outlasts every test.
const leaseLong = 1000 * time.Hour

func (w *world) agent(change ...func(*Config, *faults)) *agent {
	w.t.Helper()
	info, err := w.store.BeginTerm(w.t.Context(), metastore.AgentInfo{Process: "test"}, leaseLong)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, store := testConfig(), &faults{Store: w.store}
	for _, f := range change {
		f(&cfg, store)
	}
	fc := metastore.DefaultFollowerConfig()
	fc.Log = quiet
	a := &agent{w: w, term: info.Term, follower: metastore.NewFollower(w.store, nil, fc)}
	for i := range testShards {
		a.follower.Follow(metastore.ShardJournal(i), shard.New())
	}
	if err := a.follower.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.follower.Run(ctx)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	a.writer = metastore.NewWriter(info.Term, store, a.follower, w.clock)
	a.Compactor, err = New(cfg, Deps{
		Bucket: w.bucket, Store: w.store, Writer: a.writer, Catalog: w.catalog,
		Replica: func(i int) *metastore.Replica { return a.follower.Replica(metastore.ShardJournal(i)) },
		Refresh: a.follower.Refresh,
		Mine:    func(int) bool { return true },
		Now:     w.clock,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (a *agent) refresh() {
	a.w.t.Helper()
	if err := a.follower.Refresh(context.Background(), metastore.ShardJournal(0), metastore.ShardJournal(1)); err != nil {
		a.w.t.Fatal(err)
	}
}

func (a *agent) append(i int, effects ...[]byte) *metastore.Landed {
	a.w.t.Helper()
	landed, err := a.writer.Append(context.Background(), []metastore.Draft{{Journal: metastore.ShardJournal(i), Effects: bytes.Join(effects, nil)}})
	if err != nil {
		a.w.t.Fatal(err)
	}
	return landed
}

func topicID(number uint64) [16]byte { return [16]byte{0: 0xa0, 15: byte(number)} }

// open makes a topic of partitions in shard 0.
func (a *agent) open(number uint64, partitions int32, policy Policy) {
	a.w.t.Helper()
	a.append(0, shard.AppendOpened(nil, shard.Opened{Topic: number, ID: topicID(number), Stride: 1, Count: partitions}))
	a.w.catalog.topics[number] = policy
}

// produced is a batch of a flush.
type produced struct {
	id          shard.PartitionID
	records     int
	timestamp   int64
	transaction uint64
	producer    int64
	value       int    // bytes
	data        []byte // the batch itself, where the test makes it
}

func (p produced) batch() []byte {
	if p.data != nil {
		return p.data
	}
	var records []batch.Record
	for i := range p.records {
		records = append(records, batch.Record{Offset: 77 + int64(i), Timestamp: p.timestamp, Value: bytes.Repeat([]byte{byte(p.timestamp), byte(i)}, p.value/2+1)})
	}
	h := batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, BaseOffset: 77}
	return batch.Append(nil, h, records)
}

// flush writes an ingest segment and appends it to shard 0. Transactional batches are of
// producers that say nothing of sequences here: each begins its epoch anew.
func (a *agent) flush(batches ...produced) segment.ID {
	a.w.t.Helper()
	slices.SortStableFunc(batches, func(x, y produced) int { return x.id.Compare(y.id) })
	a.segments++
	id := segment.ID{Term: uint64(a.term), Number: a.segments}
	var b segment.Builder
	b.Begin(nil, segment.Info{Cluster: testCluster, ID: id, Flush: a.segments})
	var effect []shard.FlushBatch
	for _, p := range batches {
		data := p.batch()
		position := b.Add(0, topicID(p.id.Topic), p.id.Index, data)
		effect = append(effect, shard.FlushBatch{
			Partition: p.id, Position: position, Length: int64(len(data)), Offsets: int32(p.records), MaxTimestamp: p.timestamp,
			ProducerID: p.producerID(), Epoch: int16(p.transaction), Transaction: p.transaction,
		})
	}
	if err := a.w.bucket.Put(context.Background(), id.Key(), b.Finish()); err != nil {
		a.w.t.Fatal(err)
	}
	a.append(0, shard.AppendFlush(nil, id.Number, effect))
	return id
}

func (p produced) producerID() int64 {
	if p.transaction == 0 {
		return shard.NoProducer
	}
	return p.producer
}

// history is what a reader can see of a partition: bounds, and the bytes of all
// batches, with their offsets, from the log start on.
type history struct {
	logStart, high, stable int64
	aborted                string
	batches                []storedBatch
}

func (h history) String() string {
	text := fmt.Sprintf("%d..%d..%d aborted [%s]", h.logStart, h.stable, h.high, h.aborted)
	for _, b := range h.batches {
		text += fmt.Sprintf(" %d-%d:%d:%x", b.base, b.end, len(b.body), b.body)
	}
	return text
}

// read reads a partition by the tables' rows and the agent's replica.
func (a *agent) readPartition(id shard.PartitionID) history {
	a.w.t.Helper()
	ctx := context.Background()
	a.refresh()
	var h history
	var hot []shard.Extent
	var merged shard.Merged
	seen := map[shard.AbortedTransaction]bool{}
	metastore.View(a.follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) {
		h.logStart, h.high, h.stable, _ = s.Bounds(id)
		merged, _ = s.Merged(id)
		hot = s.Plan(id, max(h.logStart, merged.To), 1<<30, nil)
		for _, x := range s.Aborted(id, h.logStart, h.high, nil) {
			seen[x] = true
		}
	})
	at := h.logStart
	add := func(base, end int64, body []byte) {
		if end <= h.logStart {
			return
		}
		if base < at && len(h.batches) > 0 {
			a.w.t.Fatalf("partition %v: a batch at %d after offset %d", id, base, at)
		}
		body = bytes.Clone(body)
		batch.SetBaseOffset(body, base)
		h.batches, at = append(h.batches, storedBatch{base, end, body}), end
	}
	get := func(key string, position, length int64) []byte {
		body := make([]byte, length)
		if n, err := a.w.bucket.GetInto(ctx, key, position, body); err != nil || int64(n) != length {
			a.w.t.Fatalf("read %s: %d bytes of %d, %v", key, n, length, err)
		}
		return body
	}
	if h.logStart < merged.To {
		rows, err := a.w.store.Extents(ctx, metastore.ExtentQuery{Topic: id.Topic, Partition: id.Index, Offset: h.logStart, Limit: 100_000})
		if err != nil {
			a.w.t.Fatal(err)
		}
		covered := h.logStart
		for _, row := range rows {
			if row.Base > covered {
				a.w.t.Fatalf("partition %v: no row holds offset %d", id, covered)
			}
			covered = row.End
			x, err := segment.ParseIndex(row.Index, row.Base, row.End, row.Length)
			if err != nil {
				a.w.t.Fatal(err)
			}
			for _, t := range x.Aborted {
				if t.Last >= h.logStart {
					seen[shard.AbortedTransaction{ProducerID: t.Producer, FirstOffset: t.First, LastOffset: t.Last}] = true
				}
			}
			for rest := get(row.Object, row.Position, row.Length); len(rest) > 0; {
				bh, err := batch.Verify(rest)
				if err != nil {
					a.w.t.Fatal(err)
				}
				add(bh.BaseOffset, bh.LastOffset()+1, rest[:bh.Size()])
				rest = rest[bh.Size():]
			}
		}
		if covered != merged.To {
			a.w.t.Fatalf("partition %v: rows to %d, merged to %d", id, covered, merged.To)
		}
	}
	for _, e := range hot {
		if e.IsMarker() {
			add(e.BaseOffset, e.End(), e.AppendControl(nil))
			continue
		}
		base := e.BaseOffset
		for rest := get(e.Segment.Key(), e.Position, e.Length); len(rest) > 0; {
			bh, err := batch.Verify(rest)
			if err != nil {
				a.w.t.Fatal(err)
			}
			end := base + int64(bh.LastOffsetDelta) + 1
			if end > merged.To {
				add(base, end, rest[:bh.Size()])
			}
			base, rest = end, rest[bh.Size():]
		}
	}
	var aborted []string
	for x := range seen {
		aborted = append(aborted, fmt.Sprintf("%d:%d-%d", x.ProducerID, x.FirstOffset, x.LastOffset))
	}
	slices.Sort(aborted)
	h.aborted = strings.Join(aborted, " ")
	return h
}

// wantSame demands that a partition reads as before.
func (a *agent) wantSame(id shard.PartitionID, before history, when string) {
	a.w.t.Helper()
	if after := a.readPartition(id); after.String() != before.String() {
		a.w.t.Fatalf("%s: partition %v reads\n%.2000s\nand was\n%.2000s", when, id, after, before)
	}
}

func (a *agent) do(what string, err error) {
	a.w.t.Helper()
	if err != nil {
		a.w.t.Fatalf("%s: %v", what, err)
	}
}
