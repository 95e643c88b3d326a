package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

var shard0, shard1 = metastore.ShardJournal(0), metastore.ShardJournal(1)

func TestMesh_PushesToAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		a, b, c := p.join(1, nil), p.join(2, nil), p.join(3, nil)
		time.Sleep(time.Second)
		began := time.Now()
		for v := range 3 {
			a.publish(shard0, metastore.Version(v+1), fmt.Sprint("a", v))
		}
		b.publish(shard1, 7, "b")
		synctest.Wait()
		if !time.Now().Equal(began) {
			t.Error("it took time")
		}
		for n, want := range map[*node]string{
			a: "[shard-1/7 b]", b: "[shard-0/1 a0 shard-0/2 a1 shard-0/3 a2]",
		} {
			if n.sink.said() != want {
				t.Errorf("node %d: %s, want %s", n.self.Node, n.sink.said(), want)
			}
		}
		if s := c.sink.said(); len(s) != len("[shard-0/1 a0 shard-0/2 a1 shard-0/3 a2 shard-1/7 b]") {
			t.Error(s)
		}
		if s := a.Stats(); s.Peers != 2 || s.Reachable != 2 || s.Streams != 2 || s.Entries != 6 || s.Received != 1 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
		if !a.Reachable(1) || !a.Reachable(2) || !a.Reachable(3) || a.Reachable(4) || a.sink.streams != 2 {
			t.Error("reachability")
		}
	})
}

// TestMesh_SaysWhereItWasAppended: a stream says on which server of the metastore the
// entries that follow were appended, before the first and whenever it is another.
func TestMesh_SaysWhereItWasAppended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		a, b := p.join(1, nil), p.join(2, nil)
		time.Sleep(time.Second)
		for v, origin := range []string{"", "7/1", "7/1", "7/2", ""} {
			part := metastore.AppendPart{Journal: shard0, Payload: payload(1, metastore.Version(v+1), "x")}
			a.Publish(origin, []metastore.AppendPart{part}, []metastore.Version{metastore.Version(v + 1)})
		}
		synctest.Wait()
		if got, want := b.sink.said(), "[shard-0/1 x 7/1: shard-0/2 x 7/1: shard-0/3 x 7/2: shard-0/4 x shard-0/5 x]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestMesh_EndsAndBegins covers the ends of both terms, another process at the same
// address, and an address at which nobody listens.
func TestMesh_EndsAndBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		a, b := p.join(1, nil), p.join(2, nil)
		time.Sleep(time.Second)
		if !a.Reachable(2) {
			t.Fatal("no stream")
		}
		b.stop()
		synctest.Wait()
		if a.Reachable(2) {
			t.Error("a peer that ended is reachable")
		}
		// Another term at the same address: the stream was meant for the old one.
		again := p.join(3, func(_ *Config, d *Deps) { d.Self.Addr = b.self.Addr; d.Listener = p.network.listen(b.self.Addr) })
		time.Sleep(10 * time.Second)
		if a.Reachable(2) || !a.Reachable(3) {
			t.Errorf("the old term %v, the new one %v", a.Reachable(2), a.Reachable(3))
		}
		p.mu.Lock()
		p.peers = p.peers[:0] // nobody is known any more
		p.mu.Unlock()
		time.Sleep(time.Second)
		if a.Reachable(3) || a.Stats().Peers != 0 || again.Stats().Streams != 0 {
			t.Errorf("%+v", a.Stats())
		}
	})
}

// TestMesh_OldTermsAreRefusedQuietly: until the lease of a process that was killed runs out
// its peers go on trying, less and less often, and who is in its place says it once.
func TestMesh_OldTermsAreRefusedQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		var lines logLines
		var dials atomic.Int64
		for term := range metastore.Term(2) {
			p.join(term+1, func(_ *Config, d *Deps) {
				d.Dial = func(ctx context.Context, address string) (net.Conn, error) {
					dials.Add(1)
					return p.network.dial(ctx, address)
				}
			})
		}
		time.Sleep(time.Second)
		now := p.join(9, func(c *Config, _ *Deps) { c.Log = slog.New(slog.NewTextHandler(&lines, nil)) })
		p.mu.Lock()
		for term := range metastore.Term(5) {
			p.peers = append(p.peers, Peer{Node: 9, Term: 3 + term, Addr: now.self.Addr})
		}
		p.mu.Unlock()
		time.Sleep(30 * time.Second)
		before := dials.Load()
		time.Sleep(30 * time.Second)
		if got := dials.Load() - before; got > 2*5*7 {
			t.Errorf("%d tries in 30 s", got)
		}
		if got := strings.Count(lines.String(), "refused"); got != 3 { // one a peer, and its own
			t.Errorf("%d lines:\n%s", got, lines.String())
		}
		if got := now.Stats().Streams; got != 2 {
			t.Errorf("%d streams", got)
		}
	})
}

// TestMesh_RefusesStrangers tries who must not push, nor be pushed to.
func TestMesh_RefusesStrangers(t *testing.T) {
	for name, change := range map[string]func(*Config, *Deps){
		"another secret":  func(c *Config, _ *Deps) { c.Secret = []byte("another cluster's secret") },
		"no secret":       func(c *Config, _ *Deps) { c.Secret = nil },
		"another cluster": func(_ *Config, d *Deps) { d.Cluster = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &party{t: t}
				a := p.join(1, nil)
				b := p.join(2, change)
				time.Sleep(10 * time.Second)
				a.publish(shard0, 1, "x")
				b.publish(shard0, 1, "y")
				synctest.Wait()
				if a.Reachable(2) || b.Reachable(1) || a.sink.said() != "[]" || b.sink.said() != "[]" || a.Stats().Streams+b.Stats().Streams != 0 {
					t.Errorf("a has %s, b has %s", a.sink.said(), b.sink.said())
				}
			})
		})
	}
}

func TestConfig_RefusesUnprotectedAddresses(t *testing.T) {
	open := DefaultConfig()
	for address, fine := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true,
		"10.0.0.1:1": false, "[::]:1": false, "0.0.0.0:1": false, ":1": false, "agent.example:1": false, "localhost.example:1": false,
	} {
		if err := open.CheckAddress(address); (err == nil) != fine || err != nil && !errors.Is(err, ErrUnprotected) {
			t.Errorf("%s: %v", address, err)
		}
		if err := testConfig().CheckAddress(address); err != nil {
			t.Errorf("%s with a secret: %v", address, err)
		}
	}
	open.Secret = []byte("short")
	if open.Validate() == nil {
		t.Error("a short secret is taken")
	}
}

// TestMesh_SlowPeer blocks a peer: the queue stays within its bound, what doesn't
// fit is dropped, others are served, and the peer gets what comes later.
func TestMesh_SlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		a := p.join(1, func(c *Config, _ *Deps) { c.QueueBytesMax = frameBytesMax })
		block := make(chan struct{})
		slow := p.join(2, nil)
		slow.sink.block = block
		quick := p.join(3, nil)
		time.Sleep(time.Second)
		word := strings.Repeat("w", 100_000)
		const n = 60
		for v := range n {
			a.publish(shard0, metastore.Version(v+1), word)
			synctest.Wait()
		}
		if got := strings.Count(quick.sink.said(), "shard-0"); got != n {
			t.Errorf("the quick peer has %d of %d", got, n)
		}
		for _, s := range *a.publishing.Load() {
			if s.mu.bytes > frameBytesMax {
				t.Errorf("%d bytes queued", s.mu.bytes)
			}
		}
		if a.Stats().Dropped == 0 {
			t.Error("nothing was dropped")
		}
		close(block)
		synctest.Wait()
		a.publish(shard0, n+1, "last")
		synctest.Wait()
		if !strings.HasSuffix(slow.sink.said(), fmt.Sprintf("shard-0/%d last]", n+1)) {
			t.Error(slow.sink.said())
		}
	})
}

// hole is a connection whose written bytes vanish once it is cut.
type hole struct {
	net.Conn
	cut *atomic.Bool
}

func (h hole) Write(b []byte) (int, error) {
	if h.cut.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// TestMesh_SilentPeer has one agent's words to others vanish: they are out of its
// reach within SilenceMax, and in reach again when the network is back.
func TestMesh_SilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{t: t}
		var cut atomic.Bool
		a := p.join(1, func(_ *Config, d *Deps) {
			d.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				c, err := p.network.dial(ctx, address)
				return hole{c, &cut}, err
			}
		})
		b := p.join(2, nil)
		time.Sleep(2500 * time.Millisecond)
		cut.Store(true)
		a.publish(shard0, 1, "vanishes")
		time.Sleep(a.cfg.SilenceMax - a.cfg.PingEvery)
		if !a.Reachable(2) {
			t.Error("out of reach too soon")
		}
		time.Sleep(a.cfg.PingEvery)
		if a.Reachable(2) {
			t.Error("a silent peer is reachable")
		}
		if !b.Reachable(1) {
			t.Error("the other direction is another stream")
		}
		time.Sleep(time.Minute)
		cut.Store(false)
		time.Sleep(a.cfg.HandshakeTimeout + 2*a.cfg.RedialMax)
		a.publish(shard0, 2, "comes")
		synctest.Wait()
		if !a.Reachable(2) || b.sink.said() != "[shard-0/2 comes]" {
			t.Error("not reachable again", b.sink.said())
		}
	})
}

// flip changes one bit of the n-th byte that is written.
type flip struct {
	net.Conn
	n int
}

func (f *flip) Write(b []byte) (int, error) {
	if f.n >= 0 && f.n < len(b) {
		b = append([]byte(nil), b...)
		b[f.n] ^= 4
	}
	f.n -= len(b)
	return f.Conn.Write(b)
}

// TestMesh_ChangedBytes flips a bit at each place of a stream in turn: nothing that
// was changed is ever taken for an entry.
func TestMesh_ChangedBytes(t *testing.T) {
	for at := 0; at < 420; at += 3 {
		synctest.Test(t, func(t *testing.T) {
			p := &party{t: t}
			first := true
			p.network.wrap = func(c net.Conn) net.Conn {
				if first {
					first = false
					return &flip{c, at}
				}
				return c
			}
			a := p.join(1, nil)
			b := p.join(2, func(_ *Config, d *Deps) { d.Peers = func() []Peer { return nil } })
			time.Sleep(500 * time.Millisecond)
			for v := range 4 {
				a.publish(shard0, metastore.Version(v+1), "word")
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			a.publish(shard0, 9, "word")
			synctest.Wait()
			said := b.sink.said()
			for _, s := range b.sink.entries {
				if !strings.HasSuffix(s, " word") || !strings.HasPrefix(s, "shard-0/") {
					t.Fatalf("byte %d: %s", at, said)
				}
			}
			if !strings.HasSuffix(said, "shard-0/9 word]") {
				t.Errorf("byte %d: the stream did not come back: %s", at, said)
			}
		})
	}
}
