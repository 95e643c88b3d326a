package simulation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/history"
)

// groupTransform is the group whose members read topicIn and write topicOut, with their
// offsets in the same transactions.
const groupTransform = "transform"

// transformEach bounds the records of one of its transactions.
const transformEach = 20

// transform writes for each record of topicIn one of topicOut, exactly once, until ctx ends,
// by one member after the other.
func (w *world) transform(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("transform ", n))
	host := fmt.Sprintf("transformer-%d", n)
	for life := 1; ctx.Err() == nil; life++ {
		process := fmt.Sprintf("e%d.%d", n, life)
		session, err := kgo.NewGroupTransactSession(w.clientOptions(host, w.zone(n), append(transactionVersion(r),
			kgo.TransactionalID(fmt.Sprint("e", n)), kgo.TransactionTimeout(transactionTimeout),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
			kgo.ConsumerGroup(groupTransform), kgo.ConsumeTopics(topicIn), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond),
			kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(10*time.Second))...)...)
		if err != nil {
			w.bug("%s: %v", process, err)
			return
		}
		until, cancel := context.WithTimeout(ctx, time.Duration(10+r.IntN(30))*time.Second)
		for number := 1; until.Err() == nil; number++ {
			try, cancel := context.WithTimeout(until, 5*time.Second)
			fetches := session.PollRecords(try, transformEach)
			cancel()
			if records := fetches.Records(); len(records) > 0 && !w.transformed(session, process, number, records) {
				break
			}
		}
		cancel()
		session.CloseAllowingRebalance()
	}
}

// transformed is one transaction; false if the session can't go on.
func (w *world) transformed(session *kgo.GroupTransactSession, process string, number int, records []*kgo.Record) bool {
	t := &transaction{id: fmt.Sprint(number), began: time.Now(), all: make(chan struct{})}
	for _, rec := range records {
		t.sends = append(t.sends, txnSend{to: partition{topicOut, rec.Partition},
			value: fmt.Sprintf("%d@%d#%s.%d", rec.Partition, rec.Offset, process, number)})
	}
	w.record(history.Event{Process: process, Type: history.Invoke, Function: history.Txn, ID: t.id, Ops: t.ops()})
	if err := session.Begin(); err != nil {
		w.finish(process, t, history.Fail, err.Error())
		return false
	}
	t.send(session.Client(), w)
	ctx, cancel := context.WithTimeout(context.Background(), transactionEnd)
	defer cancel()
	// The session commits also what lacks a record, which its client gave up: that is for whoever sent it to see.
	if err := session.Client().Flush(ctx); err == nil && t.acknowledged() < len(t.sends) {
		_, err := session.End(ctx, kgo.TryAbort)
		w.finish(process, t, history.Fail, "aborted")
		return err == nil
	}
	w.record(history.Event{Process: process, Type: history.Commit, Function: history.Txn, ID: t.id})
	committed, err := session.End(ctx, kgo.TryCommit)
	switch {
	case err != nil:
		w.finish(process, t, history.Info, err.Error())
	case !committed:
		w.finish(process, t, history.Info, "not committed")
	default:
		w.finish(process, t, history.OK, "")
	}
	return err == nil
}

// reading is what one reading of everything found: values by partition and offset.
type reading map[partition]map[int64]string

func (got reading) note(p partition, records []*kgo.Record) {
	if got[p] == nil {
		got[p] = map[int64]string{}
	}
	for _, rec := range records {
		if !rec.Attrs.IsControl() {
			got[p][rec.Offset] = textOf(rec)
		}
	}
}

// checkTransform compares what the group has read, as its offsets say, with what it has written:
// each record up to there once, none of those after it.
func (w *world) checkTransform(ctx context.Context, last reading) {
	if w.cfg.Transformers == 0 {
		return
	}
	client := w.newClient("judge", "")
	defer client.Close()
	limit, cancel := context.WithTimeout(ctx, readAllMax)
	defer cancel()
	var offsets kadm.OffsetResponses
	for {
		got, err := kadm.NewClient(client).FetchOffsets(kadm.RequireStable(limit), groupTransform)
		if _, unnamed := got[""]; err == nil && !unnamed && got.Ok() {
			offsets = got
			break
		}
		if !pause(limit, time.Second) {
			w.bug("the offsets of the group %s can't be had within %v of the heal: %v", groupTransform, readAllMax, err)
			return
		}
	}
	written := map[string]int{} // by partition@offset
	for i := range int32(transformPartitions) {
		for _, value := range last[partition{topicOut, i}] {
			of, _, _ := strings.Cut(value, "#")
			written[of]++
		}
	}
	for i := range int32(transformPartitions) {
		p := partition{topicIn, i}
		committed := int64(0)
		if o, ok := offsets.Lookup(p.topic, p.index); ok {
			committed = max(0, o.At)
		}
		for offset := range last[p] {
			n, want := written[fmt.Sprintf("%d@%d", i, offset)], 0
			if offset < committed {
				want = 1
			}
			if n != want {
				w.bug("the group %s has committed offset %d of %s, and what it made of offset %d is there %d times", groupTransform, committed, p.key(), offset, n)
			}
		}
	}
}
