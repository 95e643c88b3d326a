package ingest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/agent/trace"
)

// item is a batch in the write path. It belongs to the buffer, then to its
// flush, then to the committer, one after the other.
type item struct {
	Batch
	size int64 // of Bytes, which is nil once it has been copied
	sub  *Submission
	at   time.Time // when it was buffered

	flush    *flush    // set when it begins
	position int64     // in the segment, set when it is sealed
	stored   time.Time // end of the upload

	first, last int32 // sequence numbers
	refreshed   bool  // its shard was read anew, before it is refused
	index       int   // in its submission
	answered    bool
}

// idempotent tells whether the batch has a producer id.
func (it *item) idempotent() bool { return it.Header.ProducerID >= 0 }

// Submission is one call's batches, answered together.
type Submission struct {
	items    []item
	results  []Result
	left     atomic.Int32
	uncopied atomic.Int32
	copied   func()
	answered atomic.Bool // all are
	done     chan struct{}
	gone     <-chan struct{}

	span   *trace.Span // of the request; nil: not recorded
	append *trace.Span // the last that a batch of it was in; the committer's
	ended  time.Time   // when the last batch was answered, if there is a span; set before done is closed
}

// newSubmission returns one of n batches. That of one batch, which small requests have, is made in one piece.
func newSubmission(n int) *Submission {
	if n == 1 {
		s := &struct {
			Submission
			item   [1]item
			result [1]Result
		}{}
		s.items, s.results, s.done = s.item[:], s.result[:], make(chan struct{})
		return &s.Submission
	}
	return &Submission{items: make([]item, n), results: make([]Result, n), done: make(chan struct{})}
}

// Wait returns the results in the order of the batches once all are answered.
func (s *Submission) Wait(ctx context.Context) ([]Result, error) {
	if s.answered.Load() {
		return s.results, nil
	}
	select {
	case <-s.done:
		return s.results, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Ended returns when the last batch was answered, once all are; zero unless the
// submission's context carried a span.
func (s *Submission) Ended() time.Time { return s.ended }

// Answered tells whether all batches are answered; it may be so before Done is closed.
func (s *Submission) Answered() bool { return s.answered.Load() }

// Done is closed when all batches are answered.
func (s *Submission) Done() <-chan struct{} { return s.done }

// isGone tells whether the connection that sent it has closed.
func (s *Submission) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// Append buffers batches; the order of calls is the order of their effect. It
// blocks while the buffer is full. gone is closed when nobody waits for the
// answer any more. The batches' bytes are read until copied is called, once, by any
// goroutine; not where Append returns an error, when they have not been read. The
// request's span is the one that ctx carries.
func (in *Ingest) Append(ctx context.Context, batches []Batch, gone <-chan struct{}, copied func()) (*Submission, error) {
	s := newSubmission(len(batches))
	s.gone, s.copied, s.span = gone, copied, trace.Of(ctx)
	if len(batches) == 0 {
		copied()
		s.wake()
		return s, nil
	}
	s.left.Store(int32(len(batches)))
	s.uncopied.Store(int32(len(batches)))
	now := in.cfg.Clock()
	var size int64
	for i, b := range batches {
		it := &s.items[i]
		it.Batch, it.size, it.sub, it.at, it.index = b, int64(len(b.Bytes)), s, now, i
		it.first, it.last = b.Header.BaseSequence, b.Header.LastSequence()
		size += it.size
	}
	in.mu.Lock()
	for in.mu.ended == nil && in.mu.inFlight > 0 && in.mu.inFlight+size > in.cfg.BufferBytesMax {
		if in.mu.room == nil {
			in.mu.room = make(chan struct{})
		}
		room := in.mu.room
		in.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-room:
		}
		in.mu.Lock()
	}
	defer in.mu.Unlock()
	if in.mu.ended != nil {
		return nil, in.mu.ended
	}
	in.mu.inFlight += size
	in.mu.bytes += size
	for i := range s.items {
		in.mu.buffer = append(in.mu.buffer, &s.items[i])
	}
	select {
	case in.filled <- struct{}{}:
	default:
	}
	return s, nil
}

// drop ends the reading of the batch's bytes.
func (it *item) drop() {
	if it.Bytes == nil {
		return
	}
	it.Bytes = nil
	if it.sub.uncopied.Add(-1) == 0 {
		it.sub.copied()
	}
}

// answer gives a batch its result, and its submission to its waiter with the last one.
func (in *Ingest) answer(it *item, r Result) {
	if it.answered {
		return
	}
	if s := in.settle(it, r); s != nil {
		s.wake()
	}
	in.giveBack(it.size)
}

// settle gives a batch its result; with the last one of its submission, it returns that.
// It is answered from then on, but its waiter isn't woken.
func (in *Ingest) settle(it *item, r Result) *Submission {
	it.answered = true
	it.drop()
	s := it.sub
	s.results[it.index] = r
	if s.left.Add(-1) > 0 {
		return nil
	}
	if s.span != nil {
		in.traceEnd(it)
	}
	s.answered.Store(true)
	return s
}

// wake wakes the waiter.
func (s *Submission) wake() {
	s.answered.Store(true)
	close(s.done)
}

// giveBack makes room in the buffer for as many bytes as were answered.
func (in *Ingest) giveBack(size int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.mu.inFlight -= size
	in.wakeLocked()
}

func (in *Ingest) wakeLocked() {
	if in.mu.room != nil {
		close(in.mu.room)
		in.mu.room = nil
	}
}

// take removes from the buffer what makes up the next flush: whole batches, in
// order, up to the limits, at least one.
func (in *Ingest) take() (items []*item, size int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := 0
	for n < len(in.mu.buffer) && n < in.cfg.BatchesMax {
		b := in.mu.buffer[n].size
		if n > 0 && size+b > in.cfg.SegmentBytesMax {
			break
		}
		size += b
		n++
	}
	items = in.mu.buffer[:n:n]
	if n == len(in.mu.buffer) {
		in.mu.buffer = nil
	} else {
		in.mu.buffer = in.mu.buffer[n:]
	}
	in.mu.bytes -= size
	return items, size
}

// buffered tells what waits for a flush, and since when.
func (in *Ingest) buffered() (batches int, size int64, since time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.mu.buffer) > 0 {
		since = in.mu.buffer[0].at
	}
	return len(in.mu.buffer), in.mu.bytes, since
}

// WritingBytes returns the bytes of the segments that are being written.
func (in *Ingest) WritingBytes() int64 { return in.writing.Load() }

// Buffered returns the bytes of records that wait for their flush or its outcome.
func (in *Ingest) Buffered() int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.inFlight
}
