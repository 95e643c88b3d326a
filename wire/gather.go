package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// gathered are answers of overlapping requests that leave in one write: a flush answers
// several requests of a connection at once, and each write is a system call and wakes the client.
// It belongs to the goroutine of answerPending.
type gathered struct {
	buffer  *answerBuffer // nil while there is none
	answers []gatheredAnswer
}

// gatheredAnswer is one of them.
type gatheredAnswer struct {
	request *Request
	release func()
	bytes   int
}

const (
	// gatheredBytesAimed is what is written without waiting for more.
	gatheredBytesAimed = 64 << 10
	// gatheredKept is how many answers' list a connection keeps.
	gatheredKept = 64
)

// answerPending answers the overlapping requests in the order they were started.
func (c *Conn) answerPending() {
	var g gathered
	for r := range c.pending {
		for r != nil {
			c.gather(&g, r, survive(func() Answer { return r.pending.Answer(c.cutOff) }))
			select {
			case r = <-c.pending: // nil once it is closed
			default:
				r = nil
			}
			if r != nil && (len(g.buffer.b) >= gatheredBytesAimed || !c.isReady(r)) {
				c.send(&g)
			}
		}
		c.send(&g)
	}
}

// isReady tells whether r's answer can be had without waiting. A panic is met again, and told, by its Answer.
func (c *Conn) isReady(r *Request) (ready bool) {
	a := survive(func() (a Answer) { ready = r.pending.Ready(); return a })
	return ready && a.Close == nil
}

func (g *gathered) begin() {
	if g.buffer == nil {
		g.buffer = answerBuffers.Get().(*answerBuffer)
		g.buffer.b = g.buffer.b[:0]
	}
}

// gather takes r's answer into g, or closes the connection behind those before it.
func (c *Conn) gather(g *gathered, r *Request, a Answer) {
	g.begin()
	before := len(g.buffer.b)
	switch {
	case c.isGone():
	case a.Close != nil:
		c.send(g)
		g.begin()
		before = 0
		c.failAnswer(r, a.Close)
	case !a.None:
		b := appendAnswer(g.buffer.b, r, a)
		for _, s := range a.Raw {
			b = append(b, s...)
		}
		if n := len(b) - before - prefixBytes; n > math.MaxInt32 {
			c.failWrite(r, fmt.Errorf("%d bytes", n))
			b = b[:before]
		} else {
			binary.BigEndian.PutUint32(b[before:], uint32(n))
		}
		g.buffer.b = b
	}
	c.releaseMessage(r)
	g.answers = append(g.answers, gatheredAnswer{r, a.Release, len(g.buffer.b) - before})
}

// send writes what g holds and is done with its requests.
func (c *Conn) send(g *gathered) {
	if len(g.answers) == 0 {
		return
	}
	sent := false
	if b := g.buffer.b; len(b) > 0 && !c.isGone() {
		c.slices = append(c.slices[:0], b)
		c.writing = c.slices
		err := c.flush(len(b))
		clear(c.slices)
		c.writing = nil
		if sent = err == nil; !sent {
			c.failWrite(g.answers[0].request, err)
		}
	}
	if cap(g.buffer.b) <= answerBytesKept {
		answerBuffers.Put(g.buffer)
	}
	g.buffer = nil
	for _, a := range g.answers {
		if !sent {
			a.bytes = 0
		}
		c.conclude(a.request, a.release, a.bytes)
		c.answered.Done()
	}
	clear(g.answers)
	if g.answers = g.answers[:0]; cap(g.answers) > gatheredKept {
		g.answers = nil
	}
}
