package metastore

import (
	"context"
	"sync/atomic"
	"time"
)

// PushStats count what other agents pushed.
type PushStats struct {
	Entries  int64 // that came
	Known    int64 // of those, that had been read already
	Early    int64 // of those, that came before their predecessors
	Fills    int64 // reads of what was missing under early ones
	Pushers  int64 // streams by which entries come now
	Unwanted int64 // entries of journals that this release does not know, whose replica has stopped, or of another server
}

type pushCounters struct{ entries, known, early, fills, unwanted atomic.Int64 }

// PushStats returns the counts since the start.
func (f *Follower) PushStats() PushStats {
	return PushStats{f.pushed.entries.Load(), f.pushed.known.Load(), f.pushed.early.Load(),
		f.pushed.fills.Load(), f.pushers.Load(), f.pushed.unwanted.Load()}
}

// Pusher tells that a stream of entries has begun (1) or ended (−1). While there is
// one, missing entries are waited for before they are read.
func (f *Follower) Pusher(change int64) { f.pushers.Add(change) }

// Receive takes an entry that the agent that appended it has pushed: its append is
// known to have landed on the server that origin names, and these are its version and its bytes,
// which are kept. Of another server than this process reads from it is let go. It
// is folded at once if it is the next one; else what is missing under it is read
// after GapWait. Receive confirms nothing: freshness is by reads of the store only.
func (f *Follower) Receive(origin string, journal JournalID, version Version, payload []byte) {
	f.pushed.entries.Add(1)
	r := f.replicas[journal]
	if r == nil || f.mover != nil && !f.mover.Pushed(origin, journal, version) {
		f.pushed.unwanted.Add(1)
		return
	}
	known := version <= r.Version()
	gap, err := r.deliver(version, payload, true)
	switch {
	case err != nil:
		f.pushed.unwanted.Add(1)
		f.stopped(r, err)
	case gap:
		f.pushed.early.Add(1)
		select {
		case f.gap <- struct{}{}:
		default:
		}
	case known:
		f.pushed.known.Add(1)
	}
}

// behind are the journals of which entries are held until their predecessors come.
func (f *Follower) behind() []JournalID {
	var ids []JournalID
	for _, id := range f.order {
		if f.replicas[id].Behind() {
			ids = append(ids, id)
		}
	}
	return ids
}

// await gives pushed entries and reads under way GapWait to bring replicas to some versions, and returns
// the journals of those that are not there. It doesn't wait where nobody pushes or reads.
func (f *Follower) await(ctx context.Context, wanted []Position) (missing []JournalID) {
	timer := time.NewTimer(f.cfg.GapWait)
	defer timer.Stop()
	timeUp := false
	for _, p := range wanted {
		r := f.replicas[p.Journal]
		for {
			changed := r.Changed()
			if r.Version() >= p.After || r.Err() != nil {
				break
			}
			if !timeUp && (f.pushers.Load() > 0 || f.reading(p.Journal)) {
				select {
				case <-changed:
					continue
				case <-timer.C:
				case <-ctx.Done():
				}
				timeUp = true
			}
			missing = append(missing, p.Journal)
			break
		}
	}
	return missing
}
