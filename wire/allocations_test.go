//go:build !race

// The race detector allocates too, and makes pools forget.

package wire

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCheck_BoundsWhatDecodingTakes makes, for every array of every request, the
// largest body that the guard accepts, and decodes it.
func TestCheck_BoundsWhatDecodingTakes(t *testing.T) {
	everyVersion(func(p *program) {
		if next := programOf(p.key, p.version+1); next != nil && next.flexible == p.flexible {
			return // of each form, the last version has the most fields
		}
		for _, target := range arrays(&p.body, "") {
			for _, tagged := range []bool{false, true} {
				if tagged && !p.flexible {
					continue
				}
				body := worst{flexible: p.flexible, tagged: tagged, target: target}.largest(p)
				got, most := decodedBytes(t, p, body), uint64(8*len(body)+64<<20)
				t.Logf("%s version %d %s, tagged %v: %.1f MiB for a body of %.1f", p.name, p.version, target, tagged,
					float64(got)/(1<<20), float64(len(body))/(1<<20))
				if got > most {
					t.Errorf("more than %d", most)
				}
			}
		}
	})
}

// decodedBytes is all that is allocated while body is checked and decoded.
func decodedBytes(t *testing.T, p *program, body []byte) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := &Request{Key: p.key, Version: p.version, body: body}
	counted, err := p.check(body)
	if err == nil {
		err = r.decode(p, counted)
	}
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	got := after.TotalAlloc - before.TotalAlloc
	if estimate := counted.decodedBytes(len(body), p.key); got > uint64(estimate)+64<<10 {
		t.Errorf("%s version %d: %d bytes, estimated at %d", p.name, p.version, got, estimate)
	}
	runtime.KeepAlive(r)
	return got
}

func TestProduceMessage_AllocatesPerRequestOnly(t *testing.T) {
	for _, version := range []int16{7, 9, 13} {
		for _, shape := range [][2]int{{1, 1}, {1, 16}, {16, 1}, {1, 600}, {600, 1}} {
			body := produceBody(version, shape[0], shape[1], 100)
			got := testing.AllocsPerRun(50, func() {
				m := getProduceMessage()
				m.decode(version, body, shape[0]*(1+shape[1]))
				m.release()
			})
			if got > 0 {
				t.Errorf("version %d, %d topics of %d partitions: %v allocations", version, shape[0], shape[1], got)
			}
		}
	}
}

func TestIdleConnection_IsCheap(t *testing.T) {
	const n = 400
	h := startTCP(t, []Route{
		produceRoute(startNothing),
		{Key: KeyAPIVersions, Max: 4, Handle: func(context.Context, *Request) Answer {
			return Answer{Message: kmsg.NewPtrApiVersionsResponse()}
		}},
	}, func(cfg *ServerConfig) { cfg.PoisonFrames = false })
	open := func(n int) (all []*client) {
		for range n {
			c := h.client()
			c.send(1, apiVersions(3))
			c.expect(1)
			c.send(2, produce("a"))
			c.send(3, produce("b"))
			c.expect(2, 3)
			all = append(all, c)
		}
		return all
	}
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	first := open(20)
	before := memory()
	conns := open(n)
	got := (memory() - before) / n
	t.Logf("%d bytes for an idle connection, its client's end included", got)
	if got > 32<<10 {
		t.Errorf("%d bytes for an idle connection", got)
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(conns)
	h.finish()
}

// TestProduce_AllocationsOfARequest counts all between the socket and the
// handler and back, the decoded message included.
func TestProduce_AllocationsOfARequest(t *testing.T) {
	raw := [][]byte{make([]byte, 30)}
	h := startTCP(t, []Route{produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
		return func(context.Context) Answer { return Answer{Raw: raw} }
	})}, func(cfg *ServerConfig) { cfg.PoisonFrames = false })
	c := h.client()
	for _, shape := range [][2]int{{1, 1}, {1, 16}, {16, 1}, {1, 600}, {600, 1}} {
		m := kmsg.NewPtrProduceRequest()
		m.SetVersion(9)
		if err := m.ReadFrom(produceBody(9, shape[0], shape[1], 1000)); err != nil {
			t.Fatal(err)
		}
		request, answer := frame(1, m), make([]byte, 4+5+30)
		got := testing.AllocsPerRun(200, func() {
			c.write(request)
			if _, err := io.ReadFull(c.Conn, answer); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%d topics of %d batches: %v allocations", shape[0], shape[1], got)
		if got > 3 {
			t.Errorf("%d topics of %d batches: %v allocations", shape[0], shape[1], got)
		}
	}
	c.Close()
	h.finish()
}
