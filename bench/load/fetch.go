package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fetch is how readers run. Each reads all partitions over one connection, one request
// after the other, as the consumers of Kafka do.
type Fetch struct {
	Address           string
	Topic             string
	Partitions        int
	Readers           int
	From              []int64 // offsets to begin at, by partition; nil: 0
	Until             []int64 // begin again where a partition comes there; nil: never
	RequestBytesMax   int     // of an answer's records
	PartitionBytesMax int
	Stamped           bool // batches carry the time they were due
}

// Readers read until Stop.
type Readers struct {
	cfg    Fetch
	conns  []*reader
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	failed failure
}

type reader struct {
	load    *Readers
	conn    net.Conn
	request []byte
	places  []int // of the partitions' offsets in the request
	offsets []int64

	records, bytes, requests atomic.Int64
	times                    struct {
		sync.Mutex
		Histogram
	}
}

// fetchedBytesMax bounds an answer to Fetch.
const fetchedBytesMax = 256 << 20

// fetchWaitMs is how long a request without data waits for it.
const fetchWaitMs = 500

// StartFetch connects and begins. Stop ends it.
func StartFetch(ctx context.Context, cfg Fetch) (*Readers, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &Readers{cfg: cfg, cancel: cancel, failed: newFailure()}
	for range cfg.Readers {
		c := &reader{load: r, offsets: make([]int64, cfg.Partitions)}
		copy(c.offsets, cfg.From)
		c.build()
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", cfg.Address)
		if err != nil {
			r.Stop()
			return nil, err
		}
		c.conn = conn
		r.conns = append(r.conns, c)
	}
	for _, c := range r.conns {
		r.tasks.Go(func() {
			if err := c.run(); ctx.Err() == nil {
				r.failed.met(fmt.Errorf("fetch from %s: %w", cfg.Address, err))
			}
		})
	}
	return r, nil
}

// Failed is closed when something went wrong.
func (r *Readers) Failed() <-chan struct{} { return r.failed.was }

// Stop ends the readers, waits for them, and returns what went wrong.
func (r *Readers) Stop() error {
	r.cancel()
	for _, c := range r.conns {
		c.conn.Close()
	}
	r.tasks.Wait()
	return r.failed.err
}

// Received is what readers got.
type Received struct {
	Requests, Records int64
	Bytes             int64     // of record batches
	Times             Histogram // of stamped batches, from when they were due until here
}

// Look is what has been received so far.
func (r *Readers) Look() *Received {
	got := &Received{}
	for _, c := range r.conns {
		got.Requests += c.requests.Load()
		got.Records += c.records.Load()
		got.Bytes += c.bytes.Load()
		c.times.Lock()
		got.Times.Merge(&c.times.Histogram)
		c.times.Unlock()
	}
	return got
}

// Since is what was received between two looks.
func (g *Received) Since(before *Received) *Received {
	return &Received{Requests: g.Requests - before.Requests, Records: g.Records - before.Records, Bytes: g.Bytes - before.Bytes,
		Times: g.Times.since(&before.Times)}
}

// build makes the request; its offsets are written before it is sent.
func (c *reader) build() {
	cfg := c.load.cfg
	var b []byte
	u32 := func(v uint32) { b = binary.BigEndian.AppendUint32(b, v) }
	u32(1<<32 - 1) // no replica
	u32(fetchWaitMs)
	u32(1) // byte at least
	u32(uint32(cfg.RequestBytesMax))
	b = append(b, 0) // read uncommitted
	u32(0)           // no session
	u32(1<<32 - 1)   // nor a wish for one
	b = append(b, 2) // one topic
	b = appendCompact(b, cfg.Topic)
	b = binary.AppendUvarint(b, uint64(cfg.Partitions)+1)
	for i := range cfg.Partitions {
		u32(uint32(i))
		u32(1<<32 - 1) // no leader epoch
		c.places = append(c.places, len(b))
		b = binary.BigEndian.AppendUint64(b, 0)
		u32(1<<32 - 1)                                // no last epoch
		b = binary.BigEndian.AppendUint64(b, 1<<64-1) // no log start
		u32(uint32(cfg.PartitionBytesMax))
		b = append(b, 0)
	}
	b = append(b, 0, 1, 1, 0) // tags, nothing forgotten, no rack, tags
	h := head(fetchKey, fetchVersion, len(b))
	for i := range c.places {
		c.places[i] += len(h)
	}
	c.request = append(h, b...)
}

// run reads until the connection ends.
func (c *reader) run() error {
	from := bufio.NewReaderSize(c.conn, 64<<10)
	answer := make([]byte, c.load.cfg.RequestBytesMax+(1<<20))
	for i := uint32(0); ; i++ {
		binary.BigEndian.PutUint32(c.request[correlationAt:], i)
		for p, at := range c.places {
			binary.BigEndian.PutUint64(c.request[at:], uint64(c.offsets[p]))
		}
		if _, err := c.conn.Write(c.request); err != nil {
			return err
		}
		var err error
		if answer, err = readAnswer(from, answer, fetchedBytesMax); err != nil {
			return err
		}
		if err := c.take(answer); err != nil {
			return err
		}
		c.requests.Add(1)
	}
}

// take reads an answer and moves the offsets on.
func (c *reader) take(b []byte) error {
	s := scan{b: b}
	s.skip(4) // correlation id
	s.tags()
	s.int32() // throttled
	if code := s.int16(); code != 0 {
		return fmt.Errorf("error code %d", code)
	}
	s.int32() // session
	for range s.length() {
		s.skip(s.length()) // topic
		for range s.length() {
			partition, code := int(s.int32()), s.int16()
			if code != 0 {
				return fmt.Errorf("partition %d: error code %d", partition, code)
			}
			s.skip(24) // high watermark, last stable offset, log start
			for range s.length() {
				s.skip(16) // aborted transaction
				s.tags()
			}
			s.int32() // preferred replica
			records := s.skip(max(0, s.length()))
			s.tags()
			if s.bad || partition < 0 || partition >= len(c.offsets) {
				return errAnswer
			}
			if err := c.takeRecords(partition, records); err != nil {
				return err
			}
		}
		s.tags()
	}
	s.tags()
	if s.bad || len(s.b) > 0 {
		return errAnswer
	}
	return nil
}

// takeRecords counts a partition's batches; a piece of one at the end is left.
func (c *reader) takeRecords(partition int, b []byte) error {
	var now time.Time
	for len(b) >= batchHeader {
		base := int64(binary.BigEndian.Uint64(b))
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		if size < batchHeader {
			return errors.New("a batch that can't be read")
		}
		last := base + int64(binary.BigEndian.Uint32(b[batchLastDelta:]))
		c.records.Add(last - max(base, c.offsets[partition]) + 1)
		c.bytes.Add(int64(size))
		c.offsets[partition] = last + 1
		if c.load.cfg.Stamped {
			if now.IsZero() {
				now = time.Now()
			}
			c.times.Lock()
			c.times.Add(now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b[stampAt(b):])))))
			c.times.Unlock()
		}
		b = b[size:]
	}
	if until := c.load.cfg.Until; until != nil && c.offsets[partition] >= until[partition] {
		c.offsets[partition] = c.start(partition)
	}
	return nil
}

func (c *reader) start(partition int) int64 {
	if c.load.cfg.From == nil {
		return 0
	}
	return c.load.cfg.From[partition]
}

// Offsets is where the first reader has come to, once the readers have stopped.
func (r *Readers) Offsets() []int64 { return r.conns[0].offsets }
