package wire

import (
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// claim begins a Produce frame of size bytes, of which it sends some.
func claim(size, sent int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	return append(append(b, 0, 0, 0, 9), make([]byte, sent-4)...)
}

// TestBudget_StalledFramesMakeRoom: however many clients claim large frames and stop,
// a newcomer is answered, and what they hold stays within the bound.
func TestBudget_StalledFramesMakeRoom(t *testing.T) {
	const clients, bytesMax = 400, 64 << 20
	for name, x := range map[string]struct {
		size, sent int
		again      time.Duration // 64 KiB more each
		within     time.Duration
	}{
		"tiny claims":                {4000, 8, 0, 0},
		"claims":                     {90 << 20, 8, 0, 0},
		"half sent":                  {90 << 20, 1 << 20, 0, 0},
		"half sent, with a trickle":  {90 << 20, 1 << 20, 29 * time.Second, 0},
		"small ones, almost sent":    {1 << 20, 1<<20 - 100, 0, 5 * time.Second},
		"small ones, with a trickle": {1 << 20, 300 << 10, 29 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var routes []Route
				routes = []Route{produceRoute(startNothing), apiVersionsRoute(&routes)}
				h := startPipe(t, routes, limits(func(l *Limits) { l.ServerBytesInFlightMax = bytesMax }))
				var sending sync.WaitGroup
				for range clients {
					c := h.client()
					defer c.Close()
					sending.Go(func() {
						_, err := c.Conn.Write(claim(x.size, x.sent))
						for err == nil && x.again > 0 {
							time.Sleep(x.again)
							_, err = c.Conn.Write(make([]byte, 64<<10))
						}
					})
				}
				synctest.Wait()
				if got := h.server.Stats().BytesInFlight; got > bytesMax {
					t.Errorf("%d bytes are held", got)
				}
				for range 3 {
					begin := time.Now()
					c := h.client()
					c.send(1, apiVersions(3))
					c.expect(1)
					if took := time.Since(begin); took > x.within {
						t.Errorf("a newcomer is answered after %v", took)
					}
					c.Close()
					time.Sleep(20 * time.Second)
				}
				h.server.CloseConnections()
				sending.Wait()
				h.finish()
			})
		})
	}
}

// TestBudget_FramesInGrowthGoOn: frames that have all room between them and need more
// don't wait for each other for ever.
func TestBudget_FramesInGrowthGoOn(t *testing.T) {
	const clients, size, bytesMax = 30, 3 << 20, 8 << 20
	for name, size := range map[string]int{"large": size, "small": 1000 << 10, "larger than the bound": 10 << 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h *harness
				var most atomic.Int64
				h = startPipe(t, []Route{produceRoute(func(context.Context, *Request) func(context.Context) Answer {
					most.Store(max(most.Load(), h.server.Stats().BytesInFlight))
					return answerProduce
				})}, limits(func(l *Limits) { l.ServerBytesInFlightMax = bytesMax }))
				request := frame(1, produce(strings.Repeat("x", size)))
				var all sync.WaitGroup
				begin := time.Now()
				for range clients {
					c := h.client()
					all.Go(func() {
						for part := request; len(part) > 0; {
							n := min(len(part), 32<<10)
							c.write(part[:n])
							part = part[n:]
							time.Sleep(time.Millisecond) // so that they grow side by side
						}
						c.expect(1)
						c.Close()
					})
				}
				all.Wait()
				if took := time.Since(begin); took > stallTimeoutUnderPressure*clients {
					t.Errorf("took %v", took)
				}
				if got, bound := most.Load(), int64(bytesMax+frameCost(size)+smallFrameBytesMax); got > bound {
					t.Errorf("%d bytes were held, more than %d", got, bound)
				}
				h.finish()
			})
		})
	}
}

// TestBudget_SlowFramesAreWelcome: while there is room for all, a frame may take its time.
func TestBudget_SlowFramesAreWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startPipe(t, []Route{produceRoute(startNothing)})
		c := h.client()
		request := frame(1, produce(strings.Repeat("x", 1<<20)))
		go func() {
			for len(request) > 0 {
				n := min(len(request), 64<<10)
				c.write(request[:n])
				request = request[n:]
				time.Sleep(20 * time.Second)
			}
		}()
		c.expect(1)
		c.Close()
		time.Sleep(time.Minute)
		h.finish()
	})
}
