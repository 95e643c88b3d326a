package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wadi-io/wadi/bench/history"
)

// Times of transactional producers. A transaction now and then waits for longer than its time-out.
const (
	transactionTimeout = 8 * time.Second
	transactionTry     = 15 * time.Second // its records are awaited so long before it is aborted
	transactionEnd     = 25 * time.Second // its end is asked for so long
)

// transactor is one client of a transactional id.
type transactor struct {
	world    *world
	process  string
	client   *kgo.Client
	sequence *int // of the id's values
	done     int  // transactions that were begun
	broken   bool // its client can't go on
}

// transact sends values in transactions until ctx ends, by one client of a transactional id
// after the other. Some leave a transaction behind, and try to commit it once they are fenced.
func (w *world) transact(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("transactions ", n))
	host, sequence := fmt.Sprintf("transactor-%d", n), 0
	var zombie *transactor
	var left *transaction
	for life := 1; ctx.Err() == nil; life++ {
		opts := append(transactionVersion(r), kgo.TransactionalID(fmt.Sprint("x", n)), kgo.TransactionTimeout(transactionTimeout),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
		x := &transactor{world: w, process: fmt.Sprintf("x%d.%d", n, life), sequence: &sequence, client: w.newClient(host, w.zone(n), opts...)}
		bury := func(why string) {
			zombie.finish(left, history.Fail, why)
			zombie.client.Close()
			zombie, left = nil, nil
		}
		if zombie != nil && !x.fence(ctx) {
			bury("nobody asked for its commit")
		}
		until, cancel := context.WithTimeout(ctx, time.Duration(8+r.IntN(25))*time.Second)
		var next *transactor // x, once it leaves a transaction behind
		var nextLeft *transaction
		for next == nil && !x.broken && pause(until, time.Duration(50+r.IntN(4*int(w.cfg.SendEvery/time.Millisecond)))*time.Millisecond) {
			t := x.begin(r)
			if t == nil {
				continue
			}
			x.await(t)
			if zombie != nil {
				bury(zombie.rise(left, r)) // While the one that fenced it is in a transaction of the same id.
			}
			if t.acknowledged() == len(t.sends) && until.Err() == nil && r.IntN(12) == 0 {
				pause(until, transactionTimeout+time.Duration(r.IntN(6000))*time.Millisecond)
			}
			switch {
			case t.acknowledged() < len(t.sends) || r.IntN(4) == 0:
				x.abort(t)
			case r.IntN(8) == 0:
				next, nextLeft = x, t
			default:
				x.commit(t)
			}
		}
		cancel()
		if zombie != nil {
			bury("nobody asked for its commit")
		}
		if zombie, left = next, nextLeft; zombie == nil {
			x.client.Close()
		}
	}
	if zombie != nil {
		zombie.finish(left, history.Fail, "nobody asked for its commit")
		zombie.client.Close()
	}
}

// transactionVersion draws of which transaction version a client is: 2, or 1 as librdkafka and Java before 4
// are, whose epoch stays from one transaction to the next and who add partitions by requests of their own.
func transactionVersion(r *rand.Rand) []kgo.Opt {
	if r.IntN(2) == 0 {
		return []kgo.Opt{kgo.MaxVersions(kversion.V3_9_0())}
	}
	return nil
}

// transaction is one of a transactor's.
type transaction struct {
	id    string
	sends []txnSend
	began time.Time
	mu    struct {
		sync.Mutex
		answered int
	}
	all chan struct{} // closed when all sends have been answered
}

// txnSend is a record of a transaction; offset and err count once it is answered.
type txnSend struct {
	to       partition
	value    string
	answered bool
	offset   int64
	err      error
}

func (t *transaction) acknowledged() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.sends {
		if t.sends[i].answered && t.sends[i].err == nil {
			n++
		}
	}
	return n
}

// ops are the transaction's sends, with the offsets that they are known to have.
func (t *transaction) ops() (ops []history.Op) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sends {
		offset := int64(-1)
		if s.answered && s.err == nil {
			offset = s.offset
		}
		ops = append(ops, history.SendOp(s.to.key(), s.value, offset))
	}
	return ops
}

// begin begins a transaction and sends its records; nil if there is nowhere to send them.
func (x *transactor) begin(r *rand.Rand) *transaction {
	x.done++
	t := &transaction{id: fmt.Sprint(x.done), began: time.Now(), all: make(chan struct{})}
	for range 1 + r.IntN(5) {
		p, ok := x.world.topics.some(r)
		if !ok {
			return nil
		}
		*x.sequence++
		t.sends = append(t.sends, txnSend{to: p, value: valueFor(p, fmt.Sprintf("%s/%d", x.process, *x.sequence), r)})
	}
	x.world.record(history.Event{Process: x.process, Type: history.Invoke, Function: history.Txn, ID: t.id, Ops: t.ops()})
	if err := x.client.BeginTransaction(); err != nil {
		x.broken = true
		x.finish(t, history.Fail, err.Error())
		return nil
	}
	t.send(x.client, x.world)
	return t
}

// send produces the transaction's records, and notes what becomes of each.
func (t *transaction) send(client *kgo.Client, w *world) {
	for i := range t.sends {
		s := &t.sends[i]
		client.Produce(context.Background(), recordFor(s.to, s.value), func(rec *kgo.Record, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			s.answered, s.offset, s.err = true, rec.Offset, err
			if err == nil {
				w.ends.acknowledged("", s.to, rec.Offset+1)
			}
			if t.mu.answered++; t.mu.answered == len(t.sends) {
				close(t.all)
			}
		})
	}
}

// await waits for the answers, but not for ever.
func (x *transactor) await(t *transaction) {
	limit := time.NewTimer(transactionTry)
	defer limit.Stop()
	select {
	case <-t.all:
	case <-limit.C:
	}
}

// commit asks for the commit. A failure says nothing of its outcome.
func (x *transactor) commit(t *transaction) {
	x.world.record(history.Event{Process: x.process, Type: history.Commit, Function: history.Txn, ID: t.id})
	ctx, cancel := context.WithTimeout(context.Background(), transactionEnd)
	defer cancel()
	if err := x.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		x.finish(t, history.Info, err.Error())
		x.end()
		return
	}
	x.finish(t, history.OK, "")
}

// abort ends a transaction whose commit nobody has asked for, so that whatever comes of it
// its values must never be read.
func (x *transactor) abort(t *transaction) {
	ctx, cancel := context.WithTimeout(context.Background(), transactionEnd)
	err := x.client.AbortBufferedRecords(ctx)
	cancel()
	if err == nil {
		x.end()
	} else {
		x.broken = true
	}
	x.finish(t, history.Fail, "aborted")
}

// end aborts what the client's transaction is.
func (x *transactor) end() {
	ctx, cancel := context.WithTimeout(context.Background(), transactionEnd)
	defer cancel()
	if err := x.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		x.broken = true
	}
}

// fence takes the transactional id from its clients before; it tells whether that is known to be so.
func (x *transactor) fence(ctx context.Context) bool {
	try, cancel := context.WithTimeout(ctx, transactionEnd)
	defer cancel()
	_, _, err := x.client.ProducerID(try)
	return err == nil
}

// rise goes on with what a client that has been fenced left behind: it sends more, or asks for
// the commit. It returns what came of that.
func (x *transactor) rise(t *transaction, r *rand.Rand) string {
	if r.IntN(2) == 0 {
		more := t.sends[0]
		*x.sequence++
		more = txnSend{to: more.to, value: valueFor(more.to, fmt.Sprintf("%s/%d", x.process, *x.sequence), r)}
		x.world.fault("zombie", "%s sends %s", x.process, more.value)
		late := &transaction{sends: []txnSend{more}, all: make(chan struct{})}
		late.send(x.client, x.world)
		x.await(late)
		t.sends = append(t.sends, txnSend{to: more.to, value: more.value})
		if late.acknowledged() > 0 {
			x.world.bug("%s was fenced, and %s was acknowledged", x.process, more.value)
		}
		return "fenced"
	}
	x.world.fault("zombie", "%s asks for the commit of %s", x.process, t.id)
	ctx, cancel := context.WithTimeout(context.Background(), transactionEnd)
	defer cancel()
	err := x.client.EndTransaction(ctx, kgo.TryCommit)
	if err == nil {
		x.world.bug("%s was fenced, and its transaction %s was committed", x.process, t.id)
	}
	return fmt.Sprintf("fenced: %v", err)
}

// finish records the outcome of a transaction.
func (x *transactor) finish(t *transaction, outcome history.Type, why string) {
	x.world.finish(x.process, t, outcome, why)
}

func (w *world) finish(process string, t *transaction, outcome history.Type, why string) {
	ops := t.ops()
	w.record(history.Event{Process: process, Type: outcome, Function: history.Txn, ID: t.id, Ops: slices.Clip(ops), Error: why})
	acknowledged := t.acknowledged()
	w.count(func(c *counts) {
		c.transactions++
		c.sends += len(ops)
		if outcome == history.OK {
			c.committed++
			c.acknowledged += acknowledged
			c.stall = max(c.stall, time.Since(t.began))
		}
	})
}
