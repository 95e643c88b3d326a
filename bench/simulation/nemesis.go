package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// fault is one thing that the nemesis does: it begins it and returns what ends it,
// nil when it could not begin.
type fault struct {
	name  string
	begin func(w *world, ctx context.Context, r *rand.Rand) (end func())
}

// faults is the one table of what goes wrong.
func faults() []fault {
	return []fault{
		{"kill", func(w *world, ctx context.Context, r *rand.Rand) func() {
			h := w.anyAgent(r)
			if !h.kill() {
				return nil
			}
			w.fault("kill", "%s", h.name)
			return func() { h.start(ctx) }
		}},
		{"kill at an append", func(w *world, ctx context.Context, r *rand.Rand) func() {
			h, any := w.anyAgent(r), r.IntN(2) == 0
			ok := h.killAt(func(parts []metastore.AppendPart) bool {
				return any || slices.ContainsFunc(parts, func(p metastore.AppendPart) bool { return isOfTransactions(w, p.Journal) })
			})
			if !ok {
				return nil
			}
			return func() {
				h.killAt(nil)
				h.start(ctx)
			}
		}},
		{"stop", func(w *world, ctx context.Context, r *rand.Rand) func() {
			h := w.anyAgent(r)
			if !h.stop() {
				return nil
			}
			w.fault("stop", "%s", h.name)
			return func() { h.start(ctx) }
		}},
		{"pause", func(w *world, _ context.Context, r *rand.Rand) func() {
			h := w.anyAgent(r)
			if !h.pause() {
				return nil
			}
			w.fault("pause", "%s", h.name)
			return func() {
				w.note("resume", "%s", h.name)
				h.resume()
			}
		}},
		{"cut from the metastore", cutFrom(hostStore)},
		{"cut from the bucket", cutFrom(hostBucket)},
		{"cut from clients", func(w *world, _ context.Context, r *rand.Rand) func() {
			h := w.anyAgent(r)
			hosts := w.clientHosts()
			w.fault("cut clients", "%s", h.name)
			for _, c := range hosts {
				w.network.cut(h.name, c)
			}
			return func() {
				for _, c := range hosts {
					w.network.heal(h.name, c)
				}
			}
		}},
		{"cut between agents", func(w *world, _ context.Context, r *rand.Rand) func() {
			a, b := w.anyAgent(r), w.anyAgent(r)
			if a == b {
				return nil
			}
			w.fault("cut agents", "%s and %s", a.name, b.name)
			w.network.cut(a.name, b.name)
			return func() { w.network.heal(a.name, b.name) }
		}},
		{"reset connections", func(w *world, _ context.Context, r *rand.Rand) func() {
			h := w.anyAgent(r)
			w.fault("reset", "%s: %d connections", h.name, w.network.resetHost(h.name, false))
			return func() {}
		}},
		{"metastore fails over", func(w *world, _ context.Context, _ *rand.Rand) func() {
			w.fault("fail-over", "the metastore is away")
			for _, h := range w.agents {
				w.network.cut(h.name, hostStore)
			}
			return func() {
				for _, h := range w.agents {
					w.network.heal(h.name, hostStore)
				}
			}
		}},
		{"metastore's standby is away", func(w *world, _ context.Context, r *rand.Rand) func() {
			if !w.standby.leave(w.store) {
				return nil
			}
			w.fault("standby away", "nothing is committed on it")
			takesOver := r.IntN(3) > 0
			return func() {
				w.note("standby", "is there; takes over without what it lacks: %v", takesOver)
				w.standby.back(w.store, takesOver)
			}
		}},
		{"metastore's clock jumps", func(w *world, _ context.Context, r *rand.Rand) func() {
			d := time.Duration(r.Int64N(int64(20 * time.Second)))
			w.fault("clock jump", "the metastore's clock jumps %v", d)
			w.jumped.Add(int64(d))
			return func() {}
		}},
		{"metastore's answers", rateFault(hostStore)},
		{"bucket's answers", rateFault(hostBucket)},
		{"bits flip", func(w *world, _ context.Context, _ *rand.Rand) func() {
			w.setFlips(0.03)
			return func() { w.setFlips(0) }
		}},
	}
}

// isOfTransactions tells whether a journal is one of transactional ids.
func isOfTransactions(w *world, id metastore.JournalID) bool {
	for i := range w.cfg.Cluster.Transactions {
		if metastore.TransactionsJournal(i) == id {
			return true
		}
	}
	return false
}

func cutFrom(to string) func(w *world, _ context.Context, r *rand.Rand) func() {
	return func(w *world, _ context.Context, r *rand.Rand) func() {
		h := w.anyAgent(r)
		w.fault("cut "+to, "%s", h.name)
		w.network.cut(h.name, to)
		return func() { w.network.heal(h.name, to) }
	}
}

// rateFault lets a host's answers go wrong, in one way or in several.
func rateFault(to string) func(w *world, _ context.Context, r *rand.Rand) func() {
	return func(w *world, _ context.Context, r *rand.Rand) func() {
		some := func() float64 {
			if r.IntN(2) == 0 {
				return 0
			}
			return r.Float64() * 0.4
		}
		bad := rates{refused: some(), lost: some(), slow: some(), twice: some(), late: some() / 2}
		w.note("rates", "%s: %+v", to, bad)
		w.setRates(to, bad)
		return func() { w.setRates(to, rates{}) }
	}
}

func (w *world) anyAgent(r *rand.Rand) *host { return w.agents[r.IntN(len(w.agents))] }

// clientHosts are the hosts of clients, some of them.
func (w *world) clientHosts() []string {
	hosts := []string{"admin", "deleter", "watcher", "prober"}
	for n := range w.cfg.Producers {
		hosts = append(hosts, fmt.Sprintf("producer-%d", n))
	}
	for n := range w.cfg.Readers {
		hosts = append(hosts, fmt.Sprintf("reader-%d", n))
	}
	for n := range w.cfg.Direct {
		hosts = append(hosts, fmt.Sprintf("direct-%d", n))
	}
	for n := range w.cfg.Plain {
		hosts = append(hosts, fmt.Sprintf("plain-%d", n))
	}
	for n := range w.cfg.Transactors {
		hosts = append(hosts, fmt.Sprintf("transactor-%d", n))
	}
	for n := range w.cfg.Transformers {
		hosts = append(hosts, fmt.Sprintf("transformer-%d", n))
	}
	for n := range w.cfg.Pending {
		hosts = append(hosts, fmt.Sprintf("pending-%d", n))
	}
	for n := range w.cfg.Heartbeaters {
		hosts = append(hosts, fmt.Sprintf("member-%s-%d", groupByHeartbeat, n))
	}
	for n := range w.cfg.Members {
		hosts = append(hosts, fmt.Sprintf("member-g-%d", n))
	}
	return hosts
}

// torment lets faults happen until ctx ends, several at once, and ends them all.
func (w *world) torment(ctx context.Context, alive context.Context) {
	r := w.stream("nemesis")
	table := faults()
	var ends []func()
	finish := func() {
		for _, end := range ends {
			end()
		}
		ends = nil
	}
	for pause(ctx, time.Duration(200+r.IntN(int(w.cfg.FaultEvery/time.Millisecond)))*time.Millisecond) {
		f := table[r.IntN(len(table))]
		end := f.begin(w, alive, r)
		if end == nil {
			continue
		}
		ends = append(ends, end)
		if !pause(ctx, time.Duration(100+r.IntN(8000))*time.Millisecond) {
			break
		}
		if r.IntN(3) > 0 || len(ends) > 3 {
			finish()
		}
	}
	finish()
	w.setFlips(0)
	w.setRates(hostStore, rates{})
	w.setRates(hostBucket, rates{})
	w.note("healed", "everything")
}
