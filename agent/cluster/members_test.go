package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// world is a metastore and a network whose faults a test chooses.
type world struct {
	*memory.Store
	mu     sync.Mutex
	broken error            // of reads
	dials  map[string]error // by address; absent: it answers
	tested int
}

func newWorld() *world {
	return &world{Store: memory.New(time.Now, metastore.Cluster{ID: "test", Shards: testShards, Groups: 1, Transactions: 1}), dials: map[string]error{}}
}

func (w *world) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	return w.Store.Terms(ctx, ended...)
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tested++
	if err := w.dials[address]; err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

func (w *world) set(address string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dials[address] = err; address == "" {
		w.broken = err
	}
}

func (w *world) begin(t *testing.T, zone string, lease time.Duration) metastore.TermInfo {
	t.Helper()
	infos, err := w.Store.Terms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.BeginTerm(t.Context(), metastore.AgentInfo{Zone: zone, Roles: metastore.RolesAll, KafkaHost: "h", KafkaPort: int32(len(infos) + 1)}, lease)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// members runs a Members for a term until the test ends.
func (w *world) members(t *testing.T, self metastore.TermInfo, reachable func(metastore.TermInfo) (bool, bool)) *Members {
	cfg := DefaultConfig()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	m := New(cfg, testShards, Deps{Terms: w, Dial: w.dial, Reachable: reachable})
	m.Begin(t.Context(), self)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

// settle lets a moment more than an interval pass.
func settle() { time.Sleep(1100 * time.Millisecond) }

func TestMembers_AgentsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		one := w.begin(t, "a", time.Hour)
		m := w.members(t, one, nil)
		check := func(what, named string, live int) {
			t.Helper()
			v := m.View()
			if got := nodesOf(v.Named()); got != named || len(v.Live()) != live {
				t.Errorf("%s: named are %s, want %s; live are %s", what, got, named, nodesOf(v.Live()))
			}
		}
		check("alone, at once", "[1]", 1)
		changed := m.Changed()
		two, three := w.begin(t, "b", time.Hour), w.begin(t, "c", 20*time.Second)
		settle()
		check("others have come", "[1 2 3]", 3)
		select {
		case <-changed:
		default:
			t.Error("nobody was told")
		}

		w.set("h:2", syscall.ECONNREFUSED)
		settle()
		check("a killed one", "[1 3]", 3)
		w.set("h:2", nil)
		settle()
		check("it is back", "[1 2 3]", 3)
		w.set("h:2", context.DeadlineExceeded)
		settle()
		check("one that is silent once", "[1 2 3]", 3)
		settle()
		check("one that stays silent", "[1 3]", 3)
		w.set("h:2", nil)
		settle()

		if err := w.DrainTerm(t.Context(), two.Term); err != nil {
			t.Fatal(err)
		}
		settle()
		check("a draining one", "[1 3]", 3)
		if _, err := w.EndTerm(t.Context(), two.Term, true); err != nil {
			t.Fatal(err)
		}
		settle()
		check("it has ended", "[1 3]", 2)
		time.Sleep(15 * time.Second)
		check("one whose lease has run out", "[1]", 1)

		four := w.begin(t, "c", time.Hour)
		settle()
		check("another", fmt.Sprintf("[1 %d]", four.Node), 2)
		m.Drain()
		check("it drains itself", fmt.Sprintf("[%d]", four.Node), 2)
		settle()
		check("and stays so", fmt.Sprintf("[%d]", four.Node), 2)
		m.End()
		check("it has ended itself", fmt.Sprintf("[%d]", four.Node), 1)
		if _, err := w.EndTerm(t.Context(), one.Term, true); err != nil {
			t.Fatal(err)
		}
		again := w.begin(t, "a", time.Hour) // elsewhere, so it has another node id
		m.Begin(t.Context(), again)
		check("its next term", fmt.Sprintf("[%d %d]", four.Node, again.Node), 2)
		if got := m.View().Self().Term; got != again.Term {
			t.Errorf("it is term %d, want %d", got, again.Term)
		}
		_ = three
	})
}

func TestMembers_TheMetastoreCantBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := w.members(t, w.begin(t, "a", time.Hour), nil)
		w.begin(t, "b", 20*time.Second)
		w.begin(t, "c", 20*time.Second)
		settle()
		w.set("", errors.New("connection refused"))
		time.Sleep(time.Minute)
		if got := nodesOf(m.View().Named()); got != "[1 2 3]" {
			t.Errorf("named are %s though nothing newer is known", got)
		}
		w.set("h:3", syscall.ECONNREFUSED)
		settle()
		if got := nodesOf(m.View().Named()); got != "[1 2]" {
			t.Errorf("named are %s, and 3 can't be reached", got)
		}
		w.set("", nil)
		settle()
		if got := nodesOf(m.View().Live()); got != "[1]" {
			t.Errorf("live are %s, and the others' leases have run out", got)
		}
	})
}

// TestMembers_StreamsTell: where there is a stream, it says who can be reached.
func TestMembers_StreamsTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var mu sync.Mutex
		known, up := true, false
		m := w.members(t, w.begin(t, "a", time.Hour), func(metastore.TermInfo) (bool, bool) {
			mu.Lock()
			defer mu.Unlock()
			return up, known
		})
		w.begin(t, "b", time.Hour)
		check := func(want string, wantUp, wantKnown bool) {
			t.Helper()
			mu.Lock()
			up, known = wantUp, wantKnown
			mu.Unlock()
			settle()
			if got := nodesOf(m.View().Named()); got != want {
				t.Errorf("named are %s, want %s", got, want)
			}
		}
		check("[1]", false, true)
		check("[1 2]", true, true)
		check("[1]", false, true)
		if w.tested != 0 {
			t.Errorf("%d connection tests", w.tested)
		}
		check("[1 2]", false, false)
		if w.tested == 0 {
			t.Error("no connection test")
		}
	})
}

// TestMembers_OneWhoIsAloneForEver reads nothing.
func TestMembers_OneWhoIsAloneForEver(t *testing.T) {
	m := New(DefaultConfig(), testShards, Deps{})
	if m.View().Leader("", 0) != nil {
		t.Error("there is a leader before there is an agent")
	}
	m.Begin(t.Context(), metastore.TermInfo{Term: 7, Node: 1, Seat: 1, Agent: metastore.AgentInfo{Roles: metastore.RolesAll}})
	if v := m.View(); v.Leader("x", 5) == nil || !v.Coordinates(metastore.GroupsJournal(3)) || v.Turn(metastore.CatalogJournal) != 0 || len(v.Served()) != testShards {
		t.Errorf("alone it sees %+v", v)
	}
}

// TestMembers_OneThatIsUnfit names the others only, while the metastore can't be read as
// well, and itself rather than nobody.
func TestMembers_OneThatIsUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		one := w.begin(t, "a", time.Hour)
		w.begin(t, "b", time.Hour)
		var unfit atomic.Bool
		var lines logLines
		cfg := DefaultConfig()
		cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
		m := New(cfg, testShards, Deps{Terms: w, Dial: w.dial, Fit: func() bool { return !unfit.Load() }})
		m.Begin(t.Context(), one)
		for _, row := range []struct {
			unfit  bool
			broken error
			named  string
		}{{false, nil, "[1 2]"}, {true, nil, "[2]"}, {true, errors.New("broken"), "[2]"}, {false, nil, "[1 2]"}} {
			unfit.Store(row.unfit)
			w.set("", row.broken)
			for range 3 {
				if err := m.Look(t.Context()); (err != nil) != (row.broken != nil) {
					t.Fatal(err)
				}
			}
			m.LookSoon()
			if got := nodesOf(m.View().Named()); got != row.named || len(m.View().Live()) != 2 {
				t.Errorf("%+v: named are %s", row, got)
			}
		}
		unfit.Store(true)
		w.set("h:2", syscall.ECONNREFUSED)
		if err := m.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := nodesOf(m.View().Named()); got == "[]" {
			t.Error("nobody is named")
		}
		if got := strings.Count(lines.String(), "too old"); got != 2 {
			t.Errorf("it was told %d times:\n%s", got, lines.String())
		}
	})
}

// logLines takes a log.
type logLines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}
