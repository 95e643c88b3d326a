package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/bench/history"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// world is everything that one seed simulates.
type world struct {
	cfg     Config
	network *network
	store   *memory.Store
	standby standby
	bucket  bucket.Bucket
	began   time.Time
	jumped  atomic.Int64   // nanoseconds by which the database's clock is ahead
	late    sync.WaitGroup // requests that are done after their callers gave up
	agents  []*host
	topics  *topics
	// lastRead is what the last reading of everything found; the judge's.
	lastRead reading
	cuts     *committed // up to where records were asked to be deleted
	ends     *committed // the ends of partitions, as far as their producers know
	starts   *committed // where partitions begin, as far as anybody was told
	stable   *committed // where they are stable up to
	mu       struct {
		sync.Mutex
		rates  map[string]rates
		holes  map[partition]map[int64]bool // that the history has
		flips  float64
		events []history.Event
		faults map[string]int
		log    []string // what happened, for the story
		counts counts
		bugs   []string // what no history shows
		begins []begin
		doomed map[string]bool // segments that may be deleted
	}
}

// begin is where a partition was said to begin, and when by the database's clock.
type begin struct {
	of     partition
	offset int64
	at     time.Time
}

// counts are what the clients did.
type counts struct {
	sends, acknowledged, polls, records, commits, rebalances, admin int
	merges, cleaned, expired, deleted, archived                     int64 // by compaction: jobs, records, log starts, objects, records
	transactions, committed                                         int
	stall                                                           time.Duration // the longest that one operation took
}

func (c counts) operations() int { return c.sends + c.polls + c.commits + c.admin }

// total adds what was counted by kind.
func total(of map[string]int) int {
	n := 0
	for _, x := range of {
		n += x
	}
	return n
}

// stream returns a source of randomness of its own for a purpose, so that one more
// draw here changes nothing there.
func (w *world) stream(purpose string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, purpose)
	return rand.New(rand.NewPCG(w.cfg.Seed, h.Sum64()))
}

// newWorld makes an empty cluster.
func newWorld(ctx context.Context, cfg Config) (*world, error) {
	w := &world{cfg: cfg, began: time.Now()}
	w.network = newNetwork(w.stream("network"))
	w.mu.rates = map[string]rates{}
	w.mu.faults = map[string]int{}
	w.mu.doomed = map[string]bool{}
	w.cuts, w.ends, w.starts, w.stable = newCommitted(), newCommitted(), newCommitted(), newCommitted()
	w.mu.holes = map[partition]map[int64]bool{}
	w.store = memory.New(w.databaseTime, cfg.Cluster)
	b, _, err := bucket.Open(ctx, "mem://")
	w.bucket = b
	return w, err
}

func (w *world) databaseTime() time.Time { return time.Now().Add(time.Duration(w.jumped.Load())) }

// record appends to the history.
func (w *world) record(e history.Event) {
	e.Time = time.Since(w.began).Nanoseconds()
	w.mu.Lock()
	defer w.mu.Unlock()
	e.Line = len(w.mu.events) + 2
	w.mu.events = append(w.mu.events, e)
}

// hole records that an offset has no value that readers of committed records are to see, once.
func (w *world) hole(p partition, offset int64, why history.Why) {
	w.mu.Lock()
	known := w.mu.holes[p][offset]
	if !known {
		if w.mu.holes[p] == nil {
			w.mu.holes[p] = map[int64]bool{}
		}
		w.mu.holes[p][offset] = true
	}
	w.mu.Unlock()
	if !known {
		w.record(history.Event{Function: history.Hole, Key: p.key(), First: offset, Last: offset, Why: why})
	}
}

func (w *world) count(f func(*counts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.mu.counts)
}

// fault counts something that went wrong on purpose, and notes it.
func (w *world) fault(kind, format string, args ...any) {
	w.mu.Lock()
	w.mu.faults[kind]++
	w.mu.Unlock()
	w.note(kind, format, args...)
}

// note keeps a line for the story.
func (w *world) note(kind, format string, args ...any) {
	line := fmt.Sprintf("%9.3f s  %-18s ", time.Since(w.began).Seconds(), kind) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.log = append(w.mu.log, line)
	if w.cfg.Live != nil {
		fmt.Fprintln(w.cfg.Live, line)
	}
}

// bug notes what must not happen.
func (w *world) bug(format string, args ...any) {
	w.note("BUG", format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.bugs = append(w.mu.bugs, fmt.Sprintf(format, args...))
}

func (w *world) ratesOf(host string) rates {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.rates[host]
}

func (w *world) setRates(host string, r rates) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.rates[host] = r
}

func (w *world) flips() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.flips
}

func (w *world) setFlips(p float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.flips = p
}

// trace is a digest of all that happened, in its order: the same for the same seed.
func (w *world) trace() uint64 {
	h := fnv.New64a()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.mu.log {
		io.WriteString(h, l)
	}
	for i := range w.mu.events {
		fmt.Fprintf(h, "%+v", eventText(&w.mu.events[i]))
	}
	return h.Sum64()
}

// eventText writes an event without pointers and map order.
func eventText(e *history.Event) string {
	var b strings.Builder
	fmt.Fprintln(&b, e.Time, e.Process, e.Type, e.Function, e.ID, e.Keys, e.From, e.Rebalanced, e.Key, e.First, e.Last, e.Why, e.Error)
	for _, op := range e.Ops {
		offset := int64(-1)
		if op.Offset != nil {
			offset = *op.Offset
		}
		fmt.Fprintln(&b, op.Send, op.Value, offset, op.Poll)
	}
	return b.String()
}

// logTo is where an agent's log goes: into the story.
type logTo struct {
	world *world
	host  string
}

func (l logTo) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l logTo) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l logTo) WithGroup(string) slog.Handler                    { return l }

func (l logTo) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	kind := "log"
	if r.Level >= slog.LevelWarn {
		kind = "warning"
	}
	l.world.note(kind, "%s: %s", l.host, b.String())
	if strings.Contains(r.Message, "panic") {
		l.world.bug("%s: %s", l.host, b.String())
	}
	return nil
}

var _ metastore.Store = (*storeLink)(nil)
