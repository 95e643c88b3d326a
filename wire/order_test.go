package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// events collects what happened, in order.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
	e.mu.Unlock()
}

func (e *events) expect(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.list, want) {
		t.Errorf("got %q, want %q", e.list, want)
	}
}

// gates holds the answers of produce requests until each is let go.
type gates struct {
	mu   sync.Mutex
	gate map[string]chan struct{}
}

func (g *gates) of(name string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gate == nil {
		g.gate = map[string]chan struct{}{}
	}
	if g.gate[name] == nil {
		g.gate[name] = make(chan struct{})
	}
	return g.gate[name]
}

func TestProduce_OverlapsAndIsAnsweredInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		var g gates
		h := startPipe(t, []Route{produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
			name := first(r)
			seen.add("start %s", name)
			return func(ctx context.Context) Answer {
				<-g.of(name)
				seen.add("answer %s", name)
				return answerProduce(ctx)
			}
		})})
		c := h.client()
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			c.send(int32(i), produce(name))
		}
		synctest.Wait()
		seen.expect(t, "start a", "start b", "start c", "start d", "start e")
		for _, name := range []string{"e", "d", "c", "b"} {
			close(g.of(name))
		}
		synctest.Wait()
		seen.expect(t, "start a", "start b", "start c", "start d", "start e")
		close(g.of("a"))
		c.expect(0, 1, 2, 3, 4)
		c.Close()
		h.finish()
	})
}

func TestOthers_WaitForEarlierProduce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		var g gates
		h := startPipe(t, []Route{
			produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
				name := first(r)
				seen.add("start %s", name)
				return func(ctx context.Context) Answer { <-g.of(name); return answerProduce(ctx) }
			}),
			metadataRoute(func(context.Context, *Request) Answer {
				seen.add("metadata")
				return Answer{Message: kmsg.NewPtrMetadataResponse()}
			}),
		})
		c := h.client()
		c.send(1, produce("a"))
		c.send(2, produce("b"))
		c.send(3, metadata())
		c.send(4, produce("c"))
		close(g.of("a"))
		c.expect(1)
		synctest.Wait()
		seen.expect(t, "start a", "start b")
		close(g.of("b"))
		c.expect(2)
		c.expect(3)
		synctest.Wait()
		seen.expect(t, "start a", "start b", "metadata", "start c")
		close(g.of("c"))
		c.expect(4)
		c.Close()
		h.finish()
	})
}

func TestLongPoll_NoticesThatTheClientLeft(t *testing.T) {
	began, left := make(chan struct{}), make(chan struct{})
	h := startTCP(t, []Route{fetchRoute(func(ctx context.Context, r *Request) Answer {
		close(began)
		<-ctx.Done()
		<-r.Conn.Done()
		close(left)
		return Answer{Message: kmsg.NewPtrFetchResponse()}
	})})
	c := h.client()
	c.send(1, fetch())
	c.send(2, fetch()) // read on, and never handled
	<-began
	c.Close()
	<-left
	h.finish()
}

func TestClientThatLeft_ItsProduceIsStartedOtherRequestsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		hold := make(chan struct{})
		h := startPipe(t, []Route{
			fetchRoute(func(context.Context, *Request) Answer {
				<-hold
				seen.add("fetch")
				return Answer{Message: kmsg.NewPtrFetchResponse()}
			}),
			produceRoute(func(ctx context.Context, r *Request) func(context.Context) Answer {
				seen.add("start %s, alive %v", first(r), ctx.Err() == nil)
				return func(context.Context) Answer { return Answer{None: true} }
			}),
			metadataRoute(func(context.Context, *Request) Answer {
				seen.add("metadata")
				return Answer{Message: kmsg.NewPtrMetadataResponse()}
			}),
		})
		c := h.client()
		c.send(1, fetch())
		c.send(2, produce("a"))
		c.send(3, metadata())
		c.send(4, produce("b"))
		synctest.Wait()
		c.Close()
		synctest.Wait()
		close(hold)
		synctest.Wait()
		seen.expect(t, "fetch", "start a, alive true", "start b, alive true")
		h.finish()
	})
}

func TestAcksZero_HasNoAnswer(t *testing.T) {
	h := startTCP(t, []Route{
		produceRoute(func(context.Context, *Request) func(context.Context) Answer {
			return func(context.Context) Answer { return Answer{None: true} }
		}),
		metadataRoute(handleMetadata),
	})
	c := h.client()
	c.send(1, produce("a"))
	c.send(2, metadata())
	c.expect(2)
	h.finish()
}

func TestAnswerClose_ClosesAfterEarlierAnswers(t *testing.T) {
	for _, last := range []kmsg.Request{produce("bad"), metadata()} {
		h := startTCP(t, []Route{
			produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
				if first(r) == "bad" {
					return func(context.Context) Answer { return Answer{Close: errors.New("outcome unknown")} }
				}
				return answerProduce
			}),
			metadataRoute(func(context.Context, *Request) Answer { return Answer{Close: errors.New("outcome unknown")} }),
		})
		c := h.client()
		c.send(1, produce("good"))
		c.send(2, last)
		c.send(3, produce("good"))
		c.expect(1)
		c.expectClosed()
		h.finish()
		if got := h.log.String(); !strings.Contains(got, "outcome unknown") || !strings.Contains(got, "client_id=test") {
			t.Errorf("log: %s", got)
		}
	}
}

func TestBadRequests_CloseAfterEarlierAnswers(t *testing.T) {
	unknownVersion := metadata()
	unknownVersion.SetVersion(8)
	for name, bad := range map[string][]byte{
		"no route":              frame(2, fetch()),
		"a version not routed":  frame(2, unknownVersion),
		"a malformed body":      append([]byte{0, 0, 0, 15}, "\x00\x03\x00\x09\x00\x00\x00\x02\xff\xff\x00\x7f\xff\xff\xff"...),
		"a malformed header":    append([]byte{0, 0, 0, 10}, "\x00\x03\x00\x09\x00\x00\x00\x02\x7f\xff"...),
		"a short frame":         {0, 0, 0, 7},
		"a negative frame":      {0xff, 0xff, 0xff, 0xff},
		"a frame too large":     {0x06, 0x40, 0x00, 0x01},
		"something like HTTP":   []byte("GET / HTTP/1.1\r\n"),
		"a large body, not one": append([]byte{0x01, 0x40, 0, 0}, "\x00\x03\x00\x09\x00\x00\x00\x02"...),
	} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			h := startTCP(t, []Route{
				produceRoute(func(context.Context, *Request) func(context.Context) Answer {
					return func(ctx context.Context) Answer { <-hold; return answerProduce(ctx) }
				}),
				{Key: 3, Min: 9, Max: 13, Handle: handleMetadata},
			})
			c := h.client()
			c.send(1, produce("good"))
			c.write(bad)
			close(hold)
			c.expect(1)
			c.expectClosed()
			h.finish()
			if !strings.Contains(h.log.String(), "connection closed") {
				t.Errorf("log: %s", h.log.String())
			}
		})
	}
}

func TestBackpressure_StartMayBlockWhileReadingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := make(chan struct{})
		gone := false
		h := startPipe(t, []Route{produceRoute(func(ctx context.Context, r *Request) func(context.Context) Answer {
			select {
			case <-room:
			case <-r.Conn.Done():
				gone = true
			}
			return answerProduce
		})})
		c := h.client()
		c.send(1, produce("a"))
		c.send(2, produce("b"))
		room <- struct{}{}
		c.expect(1)
		c.Close()
		synctest.Wait()
		if !gone {
			t.Error("the client left unnoticed")
		}
		h.finish()
	})
}

func TestDrain_AnswersWhatWasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		hold := make(chan struct{})
		h := startPipe(t, []Route{
			produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
				seen.add("start %s", first(r))
				return func(ctx context.Context) Answer { <-hold; return answerProduce(ctx) }
			}),
			metadataRoute(func(context.Context, *Request) Answer {
				seen.add("metadata")
				return Answer{Message: kmsg.NewPtrMetadataResponse()}
			}),
		})
		c, idle := h.client(), h.client()
		c.send(1, produce("a"))
		c.send(2, metadata())
		synctest.Wait()
		h.stop()
		idle.expectClosed()
		synctest.Wait()
		go c.Write(frame(3, produce("b"))) // not read any more
		synctest.Wait()
		close(hold)
		c.expect(1)
		c.expectClosed()
		if err := <-h.served; err != nil {
			t.Error(err)
		}
		seen.expect(t, "start a")
		checkNothingHeld(t, h.server)
	})
}

func TestDrain_CutsOffWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan time.Duration, 1)
		begin := time.Now()
		h := startPipe(t, []Route{
			fetchRoute(func(ctx context.Context, r *Request) Answer {
				<-r.Conn.Draining()
				draining <- time.Since(begin)
				<-ctx.Done()
				return Answer{Message: kmsg.NewPtrFetchResponse()}
			}),
			produceRoute(func(context.Context, *Request) func(context.Context) Answer {
				return func(ctx context.Context) Answer { <-ctx.Done(); return answerProduce(ctx) }
			}),
		}, limits(func(l *Limits) { l.DrainTimeout = 7 * time.Second }))
		c, d := h.client(), h.client()
		c.send(1, fetch())
		d.send(1, produce("a"))
		synctest.Wait()
		time.Sleep(time.Minute)
		h.stop()
		<-h.served
		if took := time.Since(begin); <-draining != time.Minute || took != time.Minute+7*time.Second {
			t.Errorf("stopped after %v", took)
		}
		c.expectClosed()
		d.expectClosed()
		checkNothingHeld(t, h.server)
	})
}

func TestCloseConnections_DropsQueuesAndCutsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		var kept *Frame
		h := startPipe(t, []Route{
			produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
				seen.add("start %s", first(r))
				r.Frame.Retain()
				kept = r.Frame
				return func(ctx context.Context) Answer { <-ctx.Done(); return answerProduce(ctx) }
			}),
			metadataRoute(func(context.Context, *Request) Answer {
				seen.add("metadata")
				return Answer{Message: kmsg.NewPtrMetadataResponse()}
			}),
		})
		c := h.client()
		c.send(1, produce("a"))
		c.send(2, metadata())
		c.send(3, produce("b"))
		synctest.Wait()
		h.server.CloseConnections()
		c.expectClosed()
		synctest.Wait()
		seen.expect(t, "start a")
		if !strings.Contains(string(kept.room), "a") || strings.Contains(string(kept.room), "\xdb\xdb\xdb\xdb") {
			t.Error("a frame was given back that is held")
		}
		kept.Release()

		// Serving goes on.
		d := h.client()
		d.send(1, metadata())
		d.expect(1)
		d.Close()
		h.finish()
	})
}
