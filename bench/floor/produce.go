package floor

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"sync"
	"time"
)

// writer gathers batches into segments and puts them.
type writer struct {
	cfg     Config
	changed chan struct{}
	stopped chan struct{}
	mu      struct {
		sync.Mutex
		open    *segment // nil: empty
		free    [][]byte // buffers of segments
		offsets map[int32]int64
	}
	room *sync.Cond // a buffer came back
}

// segment is a segment and who waits for it.
type segment struct {
	bytes   []byte
	waiting []answer
	began   time.Time
	before  chan struct{} // closed when the one before has been answered
	done    chan struct{}
}

// answer is a request that waits for its segment.
type answer struct {
	conn  net.Conn
	bytes []byte
}

// segmentsMax bounds the segments in memory, those being put included.
const segmentsMax = 8

func newWriter(cfg Config) *writer {
	w := &writer{cfg: cfg, changed: make(chan struct{}, 1), stopped: make(chan struct{})}
	w.room = sync.NewCond(&w.mu.Mutex)
	w.mu.offsets = map[int32]int64{}
	for range segmentsMax {
		w.mu.free = append(w.mu.free, make([]byte, 0, cfg.SegmentBytes+(1<<20)))
	}
	return w
}

func (w *writer) stop() { close(w.stopped) }

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errCRC     = errors.New("a batch whose CRC is wrong")
)

const (
	batchCRCAt     = 17
	batchCRCFrom   = 21
	batchRecordsAt = 57
)

// produced is a batch of a request.
type produced struct {
	partition int32
	bytes     []byte
	offsetAt  int // in the answer
}

// take copies a Produce request's batches into the open segment; its answer waits there.
func (w *writer) take(conn net.Conn, correlation int32, r *cursor) error {
	r.skip(max(0, r.length())) // no transactional id
	r.skip(6)                  // acks, time-out
	reply := make([]byte, 4, 256)
	reply = binary.BigEndian.AppendUint32(reply, uint32(correlation))
	reply = append(reply, 0)
	topics := r.length()
	reply = binary.AppendUvarint(reply, uint64(topics)+1)
	var batches []produced
	for range topics {
		name := r.skip(r.length())
		reply = binary.AppendUvarint(reply, uint64(len(name))+1)
		reply = append(reply, name...)
		partitions := r.length()
		reply = binary.AppendUvarint(reply, uint64(partitions)+1)
		for range partitions {
			index := r.int32()
			batch := r.skip(r.length())
			r.skip(1)
			if r.bad || len(batch) < 61 {
				return errFrame
			}
			if crc32.Checksum(batch[batchCRCFrom:], castagnoli) != binary.BigEndian.Uint32(batch[batchCRCAt:]) {
				return errCRC
			}
			reply = binary.BigEndian.AppendUint32(reply, uint32(index))
			reply = append(reply, 0, 0)
			batches = append(batches, produced{index, batch, len(reply)})
			reply = binary.BigEndian.AppendUint64(reply, 0)
			reply = binary.BigEndian.AppendUint64(reply, 1<<64-1)
			reply = binary.BigEndian.AppendUint64(reply, 0)
			reply = append(reply, 1, 0, 0)
		}
		reply = append(reply, 0)
		r.skip(1)
	}
	if r.bad || len(batches) == 0 {
		return errFrame
	}
	reply = append(reply, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(reply, uint32(len(reply)-4))
	if w.copy(batches, answer{conn, reply}) {
		w.wake()
	}
	return nil
}

func (w *writer) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// openLocked returns the segment that takes batches.
func (w *writer) openLocked() *segment {
	for w.mu.open == nil {
		if n := len(w.mu.free); n > 0 {
			w.mu.open = &segment{bytes: w.mu.free[n-1][:0], began: time.Now()}
			w.mu.free = w.mu.free[:n-1]
			break
		}
		w.room.Wait()
	}
	return w.mu.open
}

// copy appends a request's batches to the open segment and gives them offsets; true: that
// may make the segment due, or its time begins.
func (w *writer) copy(batches []produced, a answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.openLocked()
	for _, b := range batches {
		s.bytes = append(s.bytes, b.bytes...)
		binary.BigEndian.PutUint64(a.bytes[b.offsetAt:], uint64(w.mu.offsets[b.partition]))
		w.mu.offsets[b.partition] += int64(binary.BigEndian.Uint32(b.bytes[batchRecordsAt:]))
	}
	s.waiting = append(s.waiting, a)
	return len(s.bytes) >= w.cfg.SegmentBytes || len(s.waiting) == 1
}

// run puts segments when they are full or have lingered, and a slot is free.
func (w *writer) run() error {
	slots := make(chan *putter, w.cfg.Uploads)
	for range w.cfg.Uploads {
		slots <- newPutter(w.cfg.Bucket)
	}
	failed := make(chan error, w.cfg.Uploads)
	before := make(chan struct{})
	close(before)
	var number int
	timer := time.NewTimer(w.cfg.Linger)
	for {
		select {
		case <-w.changed:
		case <-timer.C:
		case err := <-failed:
			return err
		case <-w.stopped:
			return nil
		}
		for {
			w.mu.Lock()
			s := w.mu.open
			if s == nil || len(s.bytes) < w.cfg.SegmentBytes && time.Since(s.began) < w.cfg.Linger {
				wait := w.cfg.Linger
				if s != nil {
					wait -= time.Since(s.began)
				}
				w.mu.Unlock()
				timer.Reset(max(wait, 0))
				break
			}
			w.mu.Unlock()
			var p *putter
			select {
			case p = <-slots:
			case err := <-failed:
				return err
			}
			w.mu.Lock()
			w.mu.open = nil
			w.mu.Unlock()
			number++
			s.before, s.done = before, make(chan struct{})
			before = s.done
			go func(number int) { // It ends with its PUT, which ends with the bucket.
				if err := w.put(p, s, number); err != nil {
					failed <- err
				}
				slots <- p
			}(number)
		}
	}
}

// put puts a segment and answers who waits for it, in the order of segments.
func (w *writer) put(p *putter, s *segment, number int) error {
	if err := p.put(number, s.bytes); err != nil {
		return err
	}
	<-s.before
	for _, a := range s.waiting {
		a.conn.Write(a.bytes) // An error is its connection's end.
	}
	close(s.done)
	w.mu.Lock()
	w.mu.free = append(w.mu.free, s.bytes)
	w.mu.Unlock()
	w.room.Broadcast()
	w.wake()
	return nil
}
