package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wadi-io/wadi/bench/history"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// Bounds of a direct producer.
const (
	directOpenMax   = 5 // from its oldest batch without an outcome to its newest: what a partition remembers
	directTry       = 3 * time.Second
	directPatience  = 60 * time.Second // with one batch
	directHop       = 6                // one first try of so many goes to another agent than the one before
	directBumpEvery = 15               // one batch of so many, once nothing is open, begins an epoch
)

// direct is an idempotent producer of our own for one partition. It follows Kafka's rules (at most five open
// batches, each asked for until there is an outcome, a new epoch after a definite error), and makes use
// of what they leave free: it asks any agent, also while another one still has the batch or the one before it,
// as a client does whose connections were lost, or that reaches agents through a balancer.
type direct struct {
	world   *world
	process string
	agents  []*kgo.Broker
	rand    *rand.Rand
	to      partition
	id      int64
	epoch   int16
	next    int32 // sequence
	mu      struct {
		sync.Mutex
		open   map[int32]bool // sequences without an outcome
		failed bool           // something of this epoch was refused for good
		lost   bool           // something has no outcome: nothing more can be sent
		before int32          // how many sequences the epoch before had
	}
}

// oldVersions are versions of requests that name topics by their names.
func oldVersions() kgo.Opt { return kgo.MaxVersions(kversion.V3_0_0()) }

// produceDirect sends values until ctx ends, by one direct producer after the other.
func (w *world) produceDirect(ctx context.Context, n int) {
	r := w.stream(fmt.Sprint("direct ", n))
	client := w.newClient(fmt.Sprintf("direct-%d", n), w.zone(n), oldVersions())
	defer client.Close()
	sequence := 0
	for life := 1; ctx.Err() == nil; life++ {
		p, ok := w.topics.some(r)
		if !ok {
			pause(ctx, time.Second)
			continue
		}
		d := &direct{world: w, process: fmt.Sprintf("d%d.%d", n, life), agents: client.SeedBrokers(), rand: r, to: p}
		d.mu.open = map[int32]bool{}
		if !d.begin(ctx) {
			continue
		}
		until, cancel := context.WithTimeout(ctx, time.Duration(3+r.IntN(12))*time.Second)
		var sends sync.WaitGroup
		agent := r.IntN(len(d.agents))
		for pause(until, time.Duration(1+r.IntN(2*int(w.cfg.SendEvery/time.Millisecond)))*time.Millisecond) {
			open, refused, lost := d.state()
			if lost || w.topics.isRetired(p.topic) {
				break
			}
			if open == 0 && (refused || d.next > 0 && r.IntN(directBumpEvery) == 0 || d.next == 1 && r.IntN(2) == 0) {
				d.bump()
			}
			for range 1 + r.IntN(3) {
				if !d.room() {
					break
				}
				if r.IntN(directHop) == 0 {
					agent = r.IntN(len(d.agents))
				}
				sequence++
				value := valueFor(p, fmt.Sprintf("d%d/%d", n, sequence), r)
				d.send(&sends, agent, value)
			}
		}
		cancel()
		sends.Wait()
	}
}

// begin gets a producer id.
func (d *direct) begin(ctx context.Context) bool {
	for ctx.Err() == nil {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.ProducerID, req.ProducerEpoch = -1, -1
		try, cancel := context.WithTimeout(ctx, directTry)
		resp, err := req.RequestWith(try, d.agents[d.rand.IntN(len(d.agents))])
		cancel()
		if err == nil && resp.ErrorCode == 0 {
			d.id, d.epoch = resp.ProducerID, resp.ProducerEpoch
			return true
		}
		pause(ctx, 200*time.Millisecond)
	}
	return false
}

func (d *direct) state() (open int, refused, lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.open), d.mu.failed, d.mu.lost
}

// room tells whether the next batch may be sent: its epoch stands, and its oldest open batch is no longer ago
// than the partition remembers.
func (d *direct) room() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.failed || d.mu.lost {
		return false
	}
	for s := d.next - directOpenMax; s >= 0; s-- {
		if d.mu.open[s] {
			return false
		}
	}
	return true
}

// bump begins a new epoch, as idempotent clients do by themselves (KIP-360). Nothing is open.
func (d *direct) bump() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.failed, d.mu.before = false, d.next
	d.epoch, d.next = d.epoch+1, 0
}

// send sends a batch, and asks for it until it has an outcome.
func (d *direct) send(sends *sync.WaitGroup, agent int, value string) {
	w, sequence, h := d.world, d.next, batch.Header{ProducerID: d.id, ProducerEpoch: d.epoch, BaseSequence: d.next}
	d.next++
	d.mu.Lock()
	d.mu.open[sequence] = true
	d.mu.Unlock()
	id := fmt.Sprintf("%d.%d", h.ProducerEpoch, sequence)
	w.record(history.Event{Process: d.process, Type: history.Invoke, Function: history.Send, ID: id,
		Ops: []history.Op{history.SendOp(d.to.key(), value, -1)}})
	patience := []time.Duration{directTry, directTry, directTry / 10, directTry / 40}[d.rand.IntN(4)]
	others := w.stream("direct " + value)
	sends.Go(func() {
		began := time.Now()
		offset, err := d.ask(agent, others, patience, value, h)
		d.mu.Lock()
		delete(d.mu.open, sequence)
		stale := false // An agent that is behind would take the next sequence of the epoch before.
		var code errorCode
		switch {
		case err == nil:
			stale = h.ProducerEpoch > 0 && h.ProducerEpoch == d.epoch && sequence+1 == d.mu.before
		case errors.As(err, &code) && refused(code):
			d.mu.failed = true
		default:
			d.mu.lost = true
		}
		d.mu.Unlock()
		w.sent(d.process, id, d.to, value, offset, time.Since(began), err)
		if stale {
			h.ProducerEpoch, h.BaseSequence = h.ProducerEpoch-1, sequence+1
			d.sendStale(others, value, h)
		}
	})
}

// refused tells whether a code says that a batch never stood, nor will, whichever agents have it.
func refused(code errorCode) bool {
	return int16(code) == wire.CodeOutOfOrderSequenceNumber || int16(code) == wire.CodeInvalidProducerEpoch
}

// ask asks one agent after the other. Its first patience may end while the agent still has the batch.
func (d *direct) ask(agent int, r *rand.Rand, patience time.Duration, value string, h batch.Header) (offset int64, err error) {
	for began := time.Now(); time.Since(began) < directPatience; {
		try, cancel := context.WithTimeout(context.Background(), patience)
		offset, err = sendBatch(try, d.agents[agent], d.to, value, h)
		cancel()
		var code errorCode
		switch {
		case err == nil:
			return offset, nil
		case !errors.As(err, &code):
		case int16(code) == wire.CodeDuplicateSequenceNumber:
			d.world.bug("%s: %s, sequence %d of epoch %d, is said to be known, without its offset", d.process, value, h.BaseSequence, h.ProducerEpoch)
			return -1, errors.New("known, without its offset")
		case int16(code) == wire.CodeUnknownTopicOrPartition:
			// The topic may have been deleted after the batch stood, or is not known here yet.
			if d.world.topics.isRetired(d.to.topic) {
				return -1, errors.New("the topic is gone")
			}
		case refused(code):
			return -1, err
		}
		time.Sleep(time.Duration(20+r.IntN(300)) * time.Millisecond)
		patience = directTry
		if r.IntN(3) > 0 {
			agent = r.IntN(len(d.agents))
		}
	}
	return -1, fmt.Errorf("no outcome in %v: %v", directPatience, err)
}

// sendStale sends a batch of the epoch before, once something of the next one stands: no agent may take it.
func (d *direct) sendStale(r *rand.Rand, after string, h batch.Header) {
	name, ending, ofKey := strings.Cut(after, "=")
	value := name + "'"
	if ofKey {
		value += "=" + ending
	}
	w, id := d.world, fmt.Sprintf("stale %d.%d", h.ProducerEpoch, h.BaseSequence)
	w.record(history.Event{Process: d.process, Type: history.Invoke, Function: history.Send, ID: id,
		Ops: []history.Op{history.SendOp(d.to.key(), value, -1)}})
	w.fault("stale epoch", "%s sends %s", d.process, value)
	try, cancel := context.WithTimeout(context.Background(), directTry)
	defer cancel()
	began := time.Now()
	_, err := sendBatch(try, d.agents[r.IntN(len(d.agents))], d.to, value, h)
	if err == nil {
		w.bug("%s: %s of epoch %d was acknowledged, and something of the next epoch was before", d.process, value, h.ProducerEpoch)
	}
	// Whatever was answered: nothing of an epoch that is over may ever be read.
	w.sent(d.process, id, d.to, value, -1, time.Since(began), errorCode(wire.CodeInvalidProducerEpoch))
}
