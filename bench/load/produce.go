package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Produce is how a load of Produce requests runs.
type Produce struct {
	Address     string
	Shape       Shape
	Connections int
	Depth       int     // requests in flight on a connection, in a closed loop
	Rate        float64 // requests a second of all connections, in an open loop; 0: closed
	Seed        uint64
	Dial        func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's
}

// openDepth bounds the requests in flight of a connection in an open loop. At it the
// sender waits; the requests that come late for it count from when they were due.
const openDepth = 4096

// Producers is a load that runs.
type Producers struct {
	cfg    Produce
	conns  []*producer
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	failed failure
}

// producer is one connection.
type producer struct {
	load    *Producers
	conn    net.Conn
	bodies  []body
	heads   [][]byte
	ids     producerID
	slots   chan struct{}  // a place for each request in flight
	due     chan time.Time // of the requests in flight, in their order
	records atomic.Int64
	times   struct {
		sync.Mutex
		Histogram
	}
}

// producerID is an idempotent producer and what it has sent to each partition.
type producerID struct {
	id        int64
	epoch     int16
	sequences []int32
}

// StartProduce connects and begins. Stop ends it.
func StartProduce(ctx context.Context, cfg Produce) (*Producers, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &Producers{cfg: cfg, cancel: cancel, failed: newFailure()}
	shared := map[int][]body{}
	ms := time.Now().UnixMilli()
	for i := range cfg.Connections {
		first := i * cfg.Shape.PerRequest % cfg.Shape.Partitions
		bodies, made := shared[first]
		if !made || cfg.Shape.private() {
			var err error
			if bodies, err = cfg.Shape.bodies(cfg.Seed, first, ms); err != nil {
				p.Stop()
				return nil, err
			}
			shared[first] = bodies
		}
		c, err := p.connect(ctx, bodies)
		if err != nil {
			p.Stop()
			return nil, err
		}
		p.conns = append(p.conns, c)
	}
	began := time.Now()
	for i, c := range p.conns {
		p.tasks.Go(func() { c.receive(ctx) })
		p.tasks.Go(func() { c.send(ctx, began, rand.New(rand.NewPCG(cfg.Seed, uint64(i)))) })
	}
	return p, nil
}

func (p *Producers) connect(ctx context.Context, bodies []body) (*producer, error) {
	c := &producer{load: p, bodies: bodies}
	depth := openDepth
	if p.cfg.Rate == 0 {
		depth = p.cfg.Depth
	}
	c.slots, c.due = make(chan struct{}, depth), make(chan time.Time, depth)
	for _, b := range bodies {
		c.heads = append(c.heads, head(produceKey, produceVersion, len(b.bytes)))
	}
	if p.cfg.Shape.Idempotent {
		id, epoch, err := initProducer(ctx, p.cfg.Address)
		if err != nil {
			return nil, err
		}
		c.ids = producerID{id, epoch, make([]int32, p.cfg.Shape.Partitions)}
	}
	dial := p.cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", p.cfg.Address)
	if err != nil {
		return nil, err
	}
	c.conn = conn
	return c, nil
}

// fail keeps the first error and ends the load.
func (p *Producers) fail(err error) {
	p.failed.met(err)
	p.cancel()
}

// Failed is closed when something went wrong.
func (p *Producers) Failed() <-chan struct{} { return p.failed.was }

// Stop ends the load, waits for its goroutines, and returns what went wrong.
func (p *Producers) Stop() error {
	p.cancel()
	for _, c := range p.conns {
		c.conn.Close()
	}
	p.tasks.Wait()
	return p.failed.err
}

// Acknowledged is what a load has come to.
type Acknowledged struct {
	Requests, Records, Bytes int64
	Times                    Histogram // from when a request was due to its answer
}

// Look is what has been acknowledged so far; two of them tell of what lies between.
func (p *Producers) Look() *Acknowledged {
	a := &Acknowledged{}
	for _, c := range p.conns {
		a.Records += c.records.Load()
		c.times.Lock()
		a.Times.Merge(&c.times.Histogram)
		c.times.Unlock()
	}
	a.Bytes = a.Records * int64(p.cfg.Shape.RecordBytes)
	a.Requests = a.Records / int64(p.cfg.Shape.RequestRecords())
	return a
}

// Since is what was acknowledged between two looks.
func (a *Acknowledged) Since(before *Acknowledged) *Acknowledged {
	return &Acknowledged{Requests: a.Requests - before.Requests, Records: a.Records - before.Records, Bytes: a.Bytes - before.Bytes,
		Times: a.Times.since(&before.Times)}
}

// send sends until the context ends.
func (c *producer) send(ctx context.Context, began time.Time, random *rand.Rand) {
	rate := c.load.cfg.Rate / float64(c.load.cfg.Connections)
	due := began
	timer := time.NewTimer(0)
	defer timer.Stop()
	ahead := time.Duration(0)
	if c.load.cfg.Rate <= exactRateMax {
		ahead = timerLate
	}
	for i := uint32(0); ; i++ {
		if rate > 0 {
			// As customers come: exponential gaps.
			due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
			if wait := time.Until(due) - ahead; wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return
				}
			}
			sleepUntil(due)
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if rate == 0 {
			due = time.Now() // only now: in a closed loop nothing is due before
		}
		c.due <- due // has as much room as slots
		if err := c.write(i, due); err != nil {
			c.end(ctx, err)
			return
		}
	}
}

// A timer of an idle Go process is late by half a millisecond, and up to one: it waits by epoll, in
// milliseconds. Latency counts from when a request is due, so at up to exactRateMax requests a second
// the last of the way is slept by the thread.
const (
	timerLate    = 1500 * time.Microsecond
	exactRateMax = 1000
)

// sleepUntil sleeps what is left until due: less than timerLate, or nothing.
func sleepUntil(due time.Time) {
	if left := time.Until(due); left > 0 {
		sleep := syscall.NsecToTimespec(int64(left))
		syscall.Nanosleep(&sleep, nil) // A signal ends it a little early.
	}
}

// write sends one request.
func (c *producer) write(i uint32, due time.Time) error {
	k := int(i) % len(c.bodies)
	h, b := c.heads[k], &c.bodies[k]
	binary.BigEndian.PutUint32(h[correlationAt:], i)
	if c.load.cfg.Shape.private() {
		c.renew(b, due)
	}
	// Copies are net.Buffers' to use up.
	buffers := net.Buffers{h, b.bytes}
	_, err := buffers.WriteTo(c.conn)
	return err
}

// The fields of a batch that are written anew, and from where its CRC counts.
const (
	batchCRCAt      = 17
	batchCRCFrom    = 21
	batchLastDelta  = 23
	batchProducerAt = 43
	batchHeader     = 61
)

// renew writes sequences and times into the batches of a request.
func (c *producer) renew(b *body, due time.Time) {
	shape := c.load.cfg.Shape
	for _, p := range b.places {
		records := b.bytes[p.at : p.at+p.size]
		if shape.Idempotent {
			sequence := &c.ids.sequences[p.partition]
			binary.BigEndian.PutUint64(records[batchProducerAt:], uint64(c.ids.id))
			binary.BigEndian.PutUint16(records[batchProducerAt+8:], uint16(c.ids.epoch))
			binary.BigEndian.PutUint32(records[batchProducerAt+10:], uint32(*sequence))
			*sequence += int32(shape.BatchRecords)
		}
		if shape.Stamped {
			binary.BigEndian.PutUint64(records[stampAt(records):], uint64(due.UnixNano()))
		}
		binary.BigEndian.PutUint32(records[batchCRCAt:], crc32.Checksum(records[batchCRCFrom:], crc32.MakeTable(crc32.Castagnoli)))
	}
}

// stampAt is where the value of a batch's first record begins: uncompressed, without a key.
func stampAt(b []byte) int {
	at := batchHeader
	skip := func() {
		_, n := binary.Varint(b[at:])
		at += n
	}
	skip() // its length
	at++   // attributes
	for range 4 {
		skip() // timestamp, offset, key's length, value's length
	}
	return at
}

// answerBytesMax bounds an answer to Produce.
const answerBytesMax = 1 << 20

// receive reads answers until the connection closes.
func (c *producer) receive(ctx context.Context) {
	from := bufio.NewReader(c.conn)
	answer := make([]byte, 4<<10)
	for {
		var err error
		if answer, err = readAnswer(from, answer, answerBytesMax); err == nil {
			err = checkProduced(answer, c.load.cfg.Shape.PerRequest)
		}
		if err != nil {
			c.end(ctx, err)
			return
		}
		select {
		case due := <-c.due:
			<-c.slots
			took := time.Since(due)
			c.times.Lock()
			c.times.Add(took)
			c.times.Unlock()
			c.records.Add(int64(c.load.cfg.Shape.RequestRecords()))
		default:
			c.end(ctx, errors.New("an answer without a request"))
			return
		}
	}
}

// end tells of a connection's end that nobody asked for.
func (c *producer) end(ctx context.Context, err error) {
	if ctx.Err() == nil {
		c.load.fail(fmt.Errorf("produce to %s: %w", c.load.cfg.Address, err))
	}
}
