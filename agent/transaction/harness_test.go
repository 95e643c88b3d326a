package transaction

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/shard"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

const (
	testShards = 4
	testTopic  = 1 // partition p lies in shard p mod testShards
)

// world is a metastore in a bubble of fake time, with a topic of many partitions, and the agents over it.
type world struct {
	t      *testing.T
	store  metastore.Store
	lastID atomic.Int64
	trip   atomic.Int64 // ns from an agent to the metastore and back
}

// distant is a metastore to which each call takes a while.
type distant struct {
	metastore.Store
	trip *atomic.Int64
}

func (d distant) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	time.Sleep(time.Duration(d.trip.Load()) / 2)
	defer time.Sleep(time.Duration(d.trip.Load()) / 2)
	return d.Store.Append(ctx, term, parts)
}

func (d distant) Read(ctx context.Context, positions []metastore.Position, bytesMax int) ([]metastore.Tail, error) {
	time.Sleep(time.Duration(d.trip.Load()) / 2)
	defer time.Sleep(time.Duration(d.trip.Load()) / 2)
	return d.Store.Read(ctx, positions, bytesMax)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: memory.New(time.Now, metastore.Cluster{ID: "VFJBTlNBQ1RJT05TLi4uLg", Shards: testShards, Groups: 2, Transactions: 1})}
	w.lastID.Store(100)
	a := w.start(nil)
	var drafts []metastore.Draft
	for i, o := range shard.Openings(testTopic, [16]byte{1}, 0, 0, 4000, testShards) {
		drafts = append(drafts, metastore.Draft{Journal: metastore.ShardJournal(i), Effects: shard.AppendOpened(nil, o.Opened)})
	}
	a.land(drafts...)
	a.stop()
	return w
}

func (w *world) newID(context.Context) (int64, error) { return w.lastID.Add(1), nil }

// agent is a coordinator of one term.
type agent struct {
	*Coordinator
	w        *world
	term     metastore.Term
	follower *metastore.Follower
	writer   *metastore.Writer
	counting *metastore.Counting
	appender *appender
	stop     func()
}

// appender is a Writer that faults are put into.
type appender struct {
	*metastore.Writer
	mu     sync.Mutex
	before func(drafts []metastore.Draft) error // an error: nothing is appended
}

func (a *appender) Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error) {
	a.mu.Lock()
	before := a.before
	a.mu.Unlock()
	if before != nil {
		if err := before(drafts); err != nil {
			return nil, err
		}
	}
	return a.Writer.Append(ctx, drafts)
}

func (a *appender) fail(before func(drafts []metastore.Draft) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before = before
}

// start begins a term and its coordinator; change may be nil.
func (w *world) start(change func(*Config, *Deps)) *agent {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	a := &agent{w: w, counting: metastore.NewCounting(distant{w.store, &w.trip})}
	fc := metastore.DefaultFollowerConfig()
	fc.Log = log
	a.follower = metastore.NewFollower(a.counting, nil, fc)
	for i := range testShards {
		a.follower.Follow(metastore.ShardJournal(i), shard.New())
	}
	for i := range 2 {
		a.follower.Follow(metastore.GroupsJournal(i), group.New())
	}
	a.follower.Follow(metastore.TransactionsJournal(0), stored.New())
	w.check(a.follower.Load(w.t.Context()))
	term, err := w.store.BeginTerm(w.t.Context(), metastore.AgentInfo{Process: "test"}, 24*365*time.Hour)
	w.check(err)
	a.term = term.Term
	a.writer = metastore.NewWriter(term.Term, a.counting, a.follower, time.Now)
	a.appender = &appender{Writer: a.writer}
	cfg := DefaultConfig(w.store.Cluster())
	deps := Deps{Writer: a.appender, Follower: a.follower, Clock: time.Now, Log: log}
	if change != nil {
		change(&cfg, &deps)
	}
	a.Coordinator, err = New(cfg, deps)
	w.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.follower.Run(ctx) })
	running.Go(func() { a.Run(ctx) })
	a.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	w.t.Cleanup(a.stop)
	synctest.Wait()
	return a
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(err, want error, what string) {
	w.t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		w.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// land appends as others do.
func (a *agent) land(drafts ...metastore.Draft) {
	a.w.t.Helper()
	_, err := a.writer.Append(a.w.t.Context(), drafts)
	a.w.check(err)
}

// init initialises "id" as a client that expects nothing.
func (a *agent) init() Answer {
	a.w.t.Helper()
	got, err := a.Init(a.w.t.Context(), a.initOf(stored.None, stored.None))
	a.w.check(err)
	return got
}

func (a *agent) initOf(producer int64, epoch int16) Init {
	return Init{ID: "id", Timeout: time.Minute, ProducerID: producer, Epoch: epoch, NewID: a.w.newID}
}

// entry is of the first n partitions.
func entry(who Answer, version2 bool, n int32, groups ...string) Entry {
	e := Entry{ID: "id", ProducerID: who.ProducerID, Epoch: who.Epoch, Version2: version2, Groups: groups}
	if n > 0 {
		e.Topics = []stored.Topic{{Number: testTopic}}
	}
	for p := range n {
		e.Topics[0].Partitions = append(e.Topics[0].Partitions, p)
	}
	return e
}

// enter enters, and puts one batch into each of the partitions.
func (a *agent) enter(e Entry) uint64 {
	a.w.t.Helper()
	x, err := a.Enter(a.w.t.Context(), e)
	a.w.check(err)
	for _, topic := range e.Topics {
		for _, p := range topic.Partitions {
			a.batch(e, x, p)
		}
	}
	return x
}

// batch appends the next batch of a producer to a partition.
func (a *agent) batch(e Entry, x uint64, p int32) {
	a.w.t.Helper()
	id, journal := shard.PartitionID{Topic: testTopic, Index: p}, metastore.ShardJournal(int(p)%testShards)
	a.w.check(a.follower.Refresh(a.w.t.Context(), journal))
	b := shard.FlushBatch{Partition: id, Length: 1, Offsets: 1, ProducerID: e.ProducerID, Epoch: e.Epoch, Transaction: x}
	metastore.View(a.follower.Replica(journal), func(s *shard.State) {
		if known := s.Producer(id, e.ProducerID); known.Known && known.Epoch == e.Epoch {
			b.BaseSequence = shard.NextSequence(known.Last)
		}
	})
	a.land(metastore.Draft{Journal: journal, Effects: shard.AppendFlush(nil, 1, []shard.FlushBatch{b})})
}

func (a *agent) end(who Answer, version2, commit bool) (Answer, error) {
	return a.End(a.w.t.Context(), End{ID: "id", ProducerID: who.ProducerID, Epoch: who.Epoch, Commit: commit, Version2: version2, NewID: a.w.newID})
}

// status is the id's, as the journal has it now.
func (a *agent) status() stored.Status {
	a.w.t.Helper()
	t, err := a.Describe(a.w.t.Context(), "id")
	a.w.check(err)
	return t.Status
}

// ended tells for how many of the first n partitions the transaction has ended, and whether all with the same result.
func (a *agent) ended(producer int64, x uint64, n int32) (count int) {
	a.w.t.Helper()
	for p := range n {
		journal := metastore.ShardJournal(int(p) % testShards)
		a.w.check(a.follower.Refresh(a.w.t.Context(), journal))
		metastore.View(a.follower.Replica(journal), func(s *shard.State) {
			if s.Transactions(shard.PartitionID{Topic: testTopic, Index: p}, producer).Ended >= x {
				count++
			}
		})
	}
	return count
}
