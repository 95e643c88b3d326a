package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// gatheredPending is ready when it is told to be, and answers with its batch's text.
type gatheredPending struct {
	text  string
	ready *atomic.Bool
	gate  chan struct{} // closed with ready, or later
	tell  func(string)  // once released
}

func (p *gatheredPending) Ready() bool {
	if p.text == "panics" {
		panic("a bug")
	}
	return p.ready.Load()
}

func (p *gatheredPending) AppendTo(dst []byte) []byte { return append(dst, p.text...) }

func (p *gatheredPending) Answer(context.Context) Answer {
	<-p.gate
	a := Answer{Body: p, Release: func() { p.tell("release " + p.text) }}
	switch p.text {
	case "none":
		return Answer{None: true, Release: a.Release}
	case "raw":
		return Answer{Raw: [][]byte{[]byte("r"), []byte("aw")}, Release: a.Release}
	case "closes", "panics":
		return Answer{Close: errors.New("unknown"), Release: a.Release}
	}
	return a
}

// answeredBytes tells the bytes of each answer.
type answeredBytes struct {
	mu    sync.Mutex
	bytes []int
}

func (o *answeredBytes) Answered(_, _ int16, _, answer int, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes = append(o.bytes, answer)
}

// gathering is a server whose requests wait until the first is let go, with all before it that are ready.
func gathering(t *testing.T, texts []string, ready int) (h *harness, c *client, open func(i int), seen *events, told *answeredBytes) {
	seen, told = &events{}, &answeredBytes{}
	pendings := map[string]*gatheredPending{}
	for i, text := range texts {
		p := &gatheredPending{text: text, ready: &atomic.Bool{}, gate: make(chan struct{}), tell: func(s string) { seen.add("%s", s) }}
		if p.ready.Store(i < ready); i > 0 && i < ready {
			close(p.gate)
		}
		pendings[text] = p
	}
	h = startPipe(t, []Route{{Key: KeyProduce, Max: 13, Start: func(_ context.Context, r *Request) Pending { return pendings[first(r)] }}},
		func(cfg *ServerConfig) { cfg.Observer = told })
	c = h.client()
	for i, text := range texts {
		c.send(int32(i), produce(text))
	}
	synctest.Wait()
	return h, c, func(i int) { close(pendings[texts[i]].gate) }, seen, told
}

// oneWrite reads what came by one write, and returns its answers' bodies.
func (c *client) oneWrite() (bodies []string) {
	c.Helper()
	b := make([]byte, 1<<10)
	n, err := c.Conn.Read(b)
	if err != nil {
		c.Fatal(err)
	}
	for b = b[:n]; len(b) > 0; {
		size := binary.BigEndian.Uint32(b)
		bodies = append(bodies, string(b[4+4+1:4+size]))
		b = b[4+size:]
	}
	return bodies
}

func TestGather_ReadyAnswersLeaveInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, open, seen, told := gathering(t, []string{"a", "b", "raw", "none", "c", "d"}, 5)
		open(0)
		synctest.Wait()
		if got := c.oneWrite(); !slices.Equal(got, []string{"a", "b", "raw", "c"}) {
			t.Errorf("the first write has %q", got)
		}
		synctest.Wait()
		seen.expect(t, "release a", "release b", "release raw", "release none", "release c")
		if want := []int{10, 10, 12, 0, 10}; !slices.Equal(told.bytes, want) {
			t.Errorf("the observer was told of %d bytes, want %d", told.bytes, want)
		}
		open(5)
		if got := c.oneWrite(); !slices.Equal(got, []string{"d"}) {
			t.Errorf("the second write has %q", got)
		}
		c.Close()
		h.finish()
	})
}

func TestGather_WaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, open, _, _ := gathering(t, []string{"a", "b"}, 1)
		open(0)
		if got := c.oneWrite(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("the first write has %q", got)
		}
		open(1)
		if got := c.oneWrite(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("the second write has %q", got)
		}
		c.Close()
		h.finish()
	})
}

func TestGather_ClosesBehindTheAnswersBefore(t *testing.T) {
	for _, last := range []string{"closes", "panics"} {
		synctest.Test(t, func(t *testing.T) {
			h, c, open, seen, _ := gathering(t, []string{"a", "b", last}, 3)
			open(0)
			if got := c.oneWrite(); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("%s: the first write has %q", last, got)
			}
			c.expectClosed()
			synctest.Wait()
			seen.expect(t, "release a", "release b", "release "+last)
			h.finish()
		})
	}
}
