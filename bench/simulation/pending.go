package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// Times of those who leave offsets pending.
const (
	pendingTry   = 6 * time.Second // each of their requests
	pendingLooks = 3               // at most, while an offset is pending
)

// pending commits the offsets of a group of its own in transactions of version 1, and looks at them meanwhile.
type pending struct {
	world    *world
	client   *kgo.Client
	id       string // of its transactions, and of its group
	producer int64
	epoch    int16
	at       map[partition]int64 // offsets known to be committed
}

// leavePending commits offsets in transactions until ctx ends. Before it asks for a transaction's end it asks
// for the offset: whoever requires a stable one is never told the old one, if the transaction is committed then;
// nobody is told the new one.
func (w *world) leavePending(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("pending ", n))
	x := &pending{world: w, id: fmt.Sprint("pending-", n)}
	x.client = w.newClient(x.id, w.zone(n), oldVersions())
	defer x.client.Close()
	for ctx.Err() == nil {
		p, ok := w.topics.some(r)
		if !ok || !x.begin(ctx) {
			pause(ctx, 500*time.Millisecond)
			continue
		}
		x.at = map[partition]int64{}
		for n := r.IntN(20); n > 0 && x.transaction(ctx, p, r); n-- {
			if !pause(ctx, time.Duration(20+r.IntN(500))*time.Millisecond) {
				return
			}
		}
	}
}

// begin gets the next epoch, which ends what was left.
func (x *pending) begin(ctx context.Context) bool {
	try, cancel := context.WithTimeout(ctx, pendingTry)
	defer cancel()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = kmsg.StringPtr(x.id)
	req.TransactionTimeoutMillis = int32(transactionTimeout.Milliseconds())
	resp, err := req.RequestWith(try, x.client)
	if err != nil || resp.ErrorCode != 0 {
		return false
	}
	x.producer, x.epoch = resp.ProducerID, resp.ProducerEpoch
	return true
}

// transaction commits or aborts a further offset; false if the epoch can't go on.
func (x *pending) transaction(ctx context.Context, p partition, r *rand.Rand) bool {
	before, ok := x.known(ctx, p)
	if !ok || !x.add(ctx) {
		return false
	}
	next := before + 1 + r.Int64N(10)
	if !x.commit(ctx, p, next) {
		return false
	}
	told := false
	for range r.IntN(pendingLooks + 1) {
		stable := r.IntN(3) > 0
		offset, code := x.fetch(ctx, p, stable)
		if code != 0 {
			continue
		}
		if offset != before && !x.world.topics.isRetired(p.topic) {
			x.world.bug("the offset %d of %s in %s is told, and %d was pending after %d", offset, p.key(), x.id, next, before)
		}
		told = told || stable
		pause(ctx, time.Duration(r.IntN(300))*time.Millisecond)
	}
	committed := r.IntN(3) > 0
	if !x.end(ctx, committed) {
		return false
	}
	if committed {
		x.at[p] = next
		if told && !x.world.topics.isRetired(p.topic) { // Pending offsets go with their topic.
			x.world.bug("the offset %d of %s in %s was told to be stable, and the commit of %d was pending", before, p.key(), x.id, next)
		}
	}
	x.world.count(func(c *counts) { c.commits++ })
	return true
}

// known asks for the committed offset: what was committed last, if that is known.
func (x *pending) known(ctx context.Context, p partition) (int64, bool) {
	for range 5 {
		offset, code := x.fetch(ctx, p, true)
		if code != 0 {
			if !pause(ctx, 200*time.Millisecond) {
				break
			}
			continue
		}
		if want, ok := x.at[p]; ok && offset != want && !x.world.topics.isRetired(p.topic) {
			x.world.bug("the offset %d of %s in %s is told, and %d was committed last", offset, p.key(), x.id, want)
		}
		x.at[p] = offset
		return offset, true
	}
	return 0, false
}

// otherError stands for what has no code: no answer.
const otherError int16 = -1

// fetch asks for an offset.
func (x *pending) fetch(ctx context.Context, p partition, stable bool) (offset int64, code int16) {
	try, cancel := context.WithTimeout(ctx, pendingTry)
	defer cancel()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = x.id
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.Partitions = p.topic, []int32{p.index}
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	resp, err := req.RequestWith(try, x.client)
	if err != nil || len(resp.Groups) != 1 {
		return 0, otherError
	}
	if resp.Groups[0].ErrorCode != 0 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[0].Topics[0].Partitions) != 1 {
		return 0, otherError
	}
	o := resp.Groups[0].Topics[0].Partitions[0]
	if o.ErrorCode == wire.CodeUnstableOffsetCommit {
		x.world.fault("unstable offset", "%s in %s", p.key(), x.id)
	}
	return o.Offset, o.ErrorCode
}

func (x *pending) add(ctx context.Context) bool {
	return x.ask(ctx, func(ctx context.Context) (int16, error) {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = x.id, x.producer, x.epoch, x.id
		resp, err := req.RequestWith(ctx, x.client)
		if err != nil {
			return 0, err
		}
		return resp.ErrorCode, nil
	})
}

func (x *pending) commit(ctx context.Context, p partition, offset int64) bool {
	return x.ask(ctx, func(ctx context.Context) (int16, error) {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = x.id, x.producer, x.epoch, x.id, -1
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = p.topic
		o := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		o.Partition, o.Offset, o.LeaderEpoch = p.index, offset, -1
		t.Partitions = append(t.Partitions, o)
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, x.client)
		if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return otherError, err
		}
		return resp.Topics[0].Partitions[0].ErrorCode, nil
	})
}

func (x *pending) end(ctx context.Context, commit bool) bool {
	return x.ask(ctx, func(ctx context.Context) (int16, error) {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = x.id, x.producer, x.epoch, commit
		resp, err := req.RequestWith(ctx, x.client)
		if err != nil {
			return 0, err
		}
		return resp.ErrorCode, nil
	})
}

// Bounds of asking for one thing.
const (
	askPatience = 20              // times
	askedLong   = 3 * time.Second // what took longer may have been asked twice, and be done once more later: version 1 can't tell
)

// ask asks until there is an answer that isn't "later"; it tells whether that is yes, and nothing of it
// is under way.
func (x *pending) ask(ctx context.Context, once func(context.Context) (code int16, err error)) bool {
	for range askPatience {
		try, cancel := context.WithTimeout(ctx, pendingTry)
		began := time.Now()
		code, err := once(try)
		cancel()
		switch {
		case err == nil && code == 0:
			return time.Since(began) < askedLong
		case err != nil, !kerr.IsRetriable(kerr.ErrorForCode(code)):
			return false
		}
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
	return false
}
