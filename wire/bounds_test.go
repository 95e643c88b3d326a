package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// holdProduce starts requests and answers them once hold is closed.
func holdProduce(hold chan struct{}) Route {
	return produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
		frame := r.Frame
		frame.Retain()
		return func(ctx context.Context) Answer {
			<-hold
			frame.Release()
			return answerProduce(ctx)
		}
	})
}

func TestBounds_OfRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := startPipe(t, []Route{holdProduce(hold)}, limits(func(l *Limits) { l.ConnRequestsInFlightMax = 4 }))
		c := h.client()
		go func() {
			for i := range 20 {
				c.send(int32(i), produce("a"))
			}
		}()
		synctest.Wait()
		if got := h.server.Stats().RequestsInFlight; got != 4 {
			t.Errorf("%d requests in flight", got)
		}
		close(hold)
		for i := range 20 {
			c.expect(int32(i))
		}
		c.Close()
		h.finish()
	})
}

func TestBounds_OfBytesInFlight(t *testing.T) {
	for name, bound := range map[string]struct {
		change   func(*Limits)
		requests int
	}{
		"of a connection": {func(l *Limits) { l.ConnBytesInFlightMax = 2 << 20 }, 2},
		"of the server":   {func(l *Limits) { l.ServerBytesInFlightMax = 2 << 20 }, 3}, // one has its place and no room
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				h := startPipe(t, []Route{holdProduce(hold)}, limits(bound.change))
				c := h.client()
				big, huge := strings.Repeat("x", 1000<<10), strings.Repeat("x", 3<<20)
				go func() {
					for i := range 5 {
						c.send(int32(i), produce(big))
					}
					c.send(5, produce(huge)) // larger than the bound: taken alone
					c.send(6, produce("a"))
				}()
				synctest.Wait()
				if got := h.server.Stats(); got.RequestsInFlight != bound.requests || got.BytesInFlight != 2<<20 {
					t.Errorf("in flight: %+v", got)
				}
				close(hold)
				c.expect(0, 1, 2, 3, 4, 5, 6)
				c.Close()
				h.finish()
			})
		})
	}
}

func TestBounds_OfDecodedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var handled atomic.Int32
		h := startPipe(t, []Route{metadataRoute(func(context.Context, *Request) Answer {
			handled.Add(1)
			<-hold
			return Answer{Message: kmsg.NewPtrMetadataResponse()}
		})}, limits(func(l *Limits) { l.ServerBytesDecodedMax = 1 << 20 }))
		large := metadata()
		large.Topics = make([]kmsg.MetadataRequestTopic, 50_000)
		a, b := h.client(), h.client()
		a.send(1, large)
		b.send(1, large)
		synctest.Wait()
		if n := handled.Load(); n != 1 {
			t.Errorf("%d large messages at once", n)
		}
		// Neither client reads yet: the answer that waits to be written holds no message.
		hold <- struct{}{}
		synctest.Wait()
		if n := handled.Load(); n != 2 {
			t.Errorf("%d handled beside an answer that isn't read", n)
		}
		close(hold)
		a.expect(1)
		b.expect(1)
		a.Close()
		b.Close()
		h.finish()
	})
}

func TestBounds_OfConnections(t *testing.T) {
	h := startTCP(t, []Route{metadataRoute(handleMetadata)}, limits(func(l *Limits) { l.ConnectionsMax = 1 }))
	a, b := h.client(), h.client()
	a.send(1, metadata())
	a.expect(1)
	b.send(1, metadata())
	if got := h.server.Stats().Connections; got != 1 {
		t.Errorf("%d connections", got)
	}
	a.Close()
	b.expect(1)
	h.finish()
}

func TestBounds_OfFramesBeforeAuthentication(t *testing.T) {
	h := startTCP(t, []Route{
		metadataRoute(func(_ context.Context, r *Request) Answer {
			r.Conn.SetAuthenticated()
			return Answer{Message: kmsg.NewPtrMetadataResponse()}
		}),
		produceRoute(startNothing),
	}, func(cfg *ServerConfig) { cfg.AuthenticationRequired = true })
	c, d := h.client(), h.client()
	c.send(1, metadata())
	c.expect(1)
	c.send(2, produce(strings.Repeat("x", 600<<10)))
	c.expect(2)
	d.write(binary.BigEndian.AppendUint32(nil, 600<<10))
	d.expectClosed()
	h.finish()
}

func TestFrame_GrowsAsBytesArrive(t *testing.T) {
	h := startTCP(t, []Route{produceRoute(startNothing)})
	c := h.client()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.write(append(binary.BigEndian.AppendUint32(nil, 100<<20), "\x00\x00\x00\x09"...))
	for h.server.Stats().BytesInFlight == 0 {
		runtime.Gosched()
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes for a frame of which 4 have come", got)
	}
	c.Close()
	h.finish()
}

func TestFrame_LargeOnesArriveWhole(t *testing.T) {
	var got []byte
	h := startTCP(t, []Route{produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
		got = append(got[:0], first(r)...)
		return answerProduce
	})})
	c := h.client()
	for i, size := range []int{1, 100, 64 << 10, 300 << 10, 20 << 20, 17 << 20, 1 << 20} {
		want := bytes.Repeat([]byte{byte('a' + i)}, size)
		go c.send(int32(i), produce(string(want)))
		c.expect(int32(i))
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived of %d", len(got), size)
		}
	}
	h.finish()
}

func TestTimeouts(t *testing.T) {
	for name, x := range map[string]struct {
		talk func(c *client)
		want time.Duration
	}{
		"idle":                          {func(c *client) {}, 10 * time.Minute},
		"idle after a request":          {func(c *client) { time.Sleep(time.Minute); c.send(1, metadata()); c.expect(1) }, 11 * time.Minute},
		"idle within the prefix":        {func(c *client) { c.write([]byte{0, 0}) }, 10 * time.Minute},
		"within a frame":                {func(c *client) { c.write([]byte{0, 0, 1, 0, 0, 0}) }, 30 * time.Second},
		"within a large frame, trickle": {func(c *client) { trickle(c) }, 30 * time.Second},
		"not idle while in flight":      {func(c *client) { c.send(1, fetch()) }, 25 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := startPipe(t, []Route{
					produceRoute(startNothing), metadataRoute(handleMetadata),
					fetchRoute(func(ctx context.Context, r *Request) Answer {
						select {
						case <-time.After(15 * time.Minute):
							return Answer{None: true}
						case <-ctx.Done():
							return Answer{None: true}
						}
					}),
				})
				c := h.client()
				begin := time.Now()
				var talking sync.WaitGroup
				talking.Go(func() { x.talk(c) })
				synctest.Wait()
				if name == "idle after a request" {
					time.Sleep(2 * time.Minute)
				}
				c.expectClosed()
				if took := time.Since(begin); took != x.want {
					t.Errorf("closed after %v, want %v", took, x.want)
				}
				c.Close()
				talking.Wait()
				h.finish()
			})
		})
	}
}

// trickle sends a frame a few bytes at a time, each well within the time-out.
func trickle(c *client) {
	if _, err := c.Conn.Write(binary.BigEndian.AppendUint32(nil, 1<<20)); err != nil {
		return
	}
	for {
		if _, err := c.Conn.Write([]byte{0}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestSlowReader_IsCutOffUnlessItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		var released atomic.Int32
		h := startPipe(t, []Route{fetchRoute(func(context.Context, *Request) Answer {
			raw := [][]byte{bytes.Repeat([]byte("x"), size/2), bytes.Repeat([]byte("y"), size/2)}
			return Answer{Raw: raw, Release: func() { released.Add(1) }}
		})})
		slow, stuck := h.client(), h.client()
		slow.send(1, fetch())
		stuck.send(1, fetch())
		begin := time.Now()
		// 128 KiB each 20 s: two and a half minutes in all, with 30 s for each 64 KiB.
		got := []byte{}
		for len(got) < size+9 {
			part := make([]byte, min(128<<10, size+9-len(got)))
			if _, err := io.ReadFull(slow, part); err != nil {
				t.Fatalf("after %d bytes, %v: %v", len(got), time.Since(begin), err)
			}
			got = append(got, part...)
			time.Sleep(20 * time.Second)
		}
		if n := bytes.Count(got[9:], []byte("x")); n != size/2 {
			t.Errorf("%d of %d bytes", n, size/2)
		}
		stuck.expectClosed()
		if n := released.Load(); n != 2 {
			t.Errorf("%d answers released", n)
		}
		slow.Close()
		h.finish()
	})
}
