package metastore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Replica is this process's in-memory state of one journal. It is advanced by
// its Follower (what it read, and what other agents pushed) and its agent's Writer
// (what it appended), and read by anyone.
type Replica struct {
	id    JournalID
	clock func() time.Time
	told  atomic.Bool // that the journal has stopped
	mu    struct {
		sync.RWMutex
		fold    *Fold
		err     error         // set once the journal has stopped
		freshAt time.Time     // begin of the last read that confirmed the state
		changed chan struct{} // closed at the next change; nil while nobody waits
		own     *ownEntry     // this agent's append in flight
		since   Since
		held    held // entries that came before those that precede them
		sums    sums // of the entries folded last
	}
}

// Since is what has come since the newest snapshot that this replica knows.
type Since struct {
	Entries       int   // without those of snapshots themselves
	Bytes         int64 // of the entries counted
	SnapshotBytes int64 // size of that snapshot, 0 when there is none
	Snapshot      Version
	At            time.Time // when that snapshot was loaded or placed, or the replica was made
}

// ownEntry waits for the first entry with (term, number) in the fold.
type ownEntry struct {
	term   Term
	number uint64
	landed bool
	passed bool // by a snapshot, perhaps: it may be in it
	result Result
}

func newReplica(id JournalID, m Machine, clock func() time.Time) *Replica {
	r := &Replica{id: id, clock: clock}
	r.mu.fold = NewFold(m)
	r.mu.since.At = clock()
	return r
}

// ID names the journal.
func (r *Replica) ID() JournalID { return r.id }

// Version returns the version of the state.
func (r *Replica) Version() Version {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.fold.version
}

// FreshAt returns when the last read began that confirmed the state as the
// journal's newest; zero before the first.
func (r *Replica) FreshAt() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.freshAt
}

// Err returns why the journal has stopped here; it wraps ErrStopped.
func (r *Replica) Err() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.err
}

// View calls f with the replica's machine under the read lock. f must not block,
// nor keep a reference to anything that a later entry changes.
func View[M Machine](r *Replica, f func(m M)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.mu.fold.machine.(M))
}

// ViewAt is View that also tells the version seen.
func ViewAt[M Machine](r *Replica, f func(m M, v Version)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.mu.fold.machine.(M), r.mu.fold.version)
}

// Terms returns the terms that have a number here.
func (r *Replica) Terms() []Term {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.fold.Terms()
}

// Changed returns a channel that is closed at the next entry folded, or stop.
func (r *Replica) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.changed == nil {
		r.mu.changed = make(chan struct{})
	}
	return r.mu.changed
}

// Since returns what has come since the newest snapshot.
func (r *Replica) Since() Since {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.since
}

func (r *Replica) placed(v Version, size int64, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.since = Since{SnapshotBytes: size, Snapshot: v, At: at}
}

// stop ends the journal here for good: it serves and takes nothing more.
func (r *Replica) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopLocked(err)
}

func (r *Replica) stopLocked(err error) {
	if r.mu.err == nil {
		r.mu.err = fmt.Errorf("%v: %w", r.id, err)
	}
	r.wakeLocked()
}

func (r *Replica) wakeLocked() {
	if r.mu.changed != nil {
		close(r.mu.changed)
		r.mu.changed = nil
	}
}

// deliver folds an entry if it is the next one, and the held ones that follow it.
// gap says that entries before it are missing; then hold keeps it for when they
// have come, if there is room. A version that was folded with other bytes stops the journal.
func (r *Replica) deliver(version Version, payload []byte, hold bool) (gap bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.err != nil {
		return false, r.mu.err
	}
	if version <= r.mu.fold.version {
		return false, r.repeatedLocked(version, payload)
	}
	if version > r.mu.fold.version+1 {
		if hold {
			r.mu.held.add(version, payload)
		}
		return true, nil
	}
	for payload != nil {
		if err := r.applyLocked(version, payload); err != nil {
			return false, err
		}
		version++
		payload = r.mu.held.take(version)
	}
	r.wakeLocked()
	return false, nil
}

// repeatedLocked compares an entry with what was folded at its version, as far back as that is known.
func (r *Replica) repeatedLocked(version Version, payload []byte) error {
	if sum, known := r.mu.sums.at(version); known && sum != entrySum(payload) {
		r.stopLocked(fmt.Errorf("%w: version %d was seen with other bytes: the metastore lost its tail", ErrStopped, version))
		return r.mu.err
	}
	return nil
}

func (r *Replica) applyLocked(version Version, payload []byte) error {
	res, err := r.mu.fold.Apply(version, payload, r.ownsLocked)
	if err != nil {
		r.stopLocked(err)
		return r.mu.err
	}
	r.mu.sums.put(version, entrySum(payload))
	if !res.Void && r.ownsLocked(res.Header) {
		r.mu.own.landed, r.mu.own.result = true, res
	}
	switch of, told := ofSnapshot(payload); {
	case told > r.mu.since.Snapshot:
		// Its writer places it now; until then entries count that it covers.
		r.mu.since = Since{SnapshotBytes: r.mu.fold.markSize(told), Snapshot: told, At: r.clock()}
	case !of:
		r.mu.since.Entries++
		r.mu.since.Bytes += int64(len(payload))
	}
	return nil
}

// Behind tells whether entries are held until those before them have come.
func (r *Replica) Behind() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.mu.held.entries) > 0
}

func (r *Replica) ownsLocked(h Header) bool {
	own := r.mu.own
	return own != nil && own.term == h.Term && own.number == h.Number
}

// ofSnapshot tells whether an entry has no effects but a snapshot's mark or hash, and
// the version whose hash it tells, else 0.
func ofSnapshot(payload []byte) (of bool, told Version) {
	_, effects, err := ParseEntry(payload)
	for err == nil {
		kind, body, ok, nextErr := effects.Next()
		switch {
		case nextErr != nil:
			return false, 0
		case !ok:
			return true, told
		case kind == EffectSnapshotHash:
			d := Decoder{Rest: body}
			told = Version(d.Uvarint())
		case kind != EffectSnapshotMark:
			return false, 0
		}
	}
	return false, 0
}

// restore replaces the state by a snapshot's, unless it is no newer.
func (r *Replica) restore(version Version, snapshot []byte, at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.err != nil {
		return r.mu.err
	}
	if version <= r.mu.fold.version {
		return nil
	}
	if err := r.mu.fold.Restore(version, snapshot); err != nil {
		r.stopLocked(fmt.Errorf("%w: %w", ErrStopped, err))
		return r.mu.err
	}
	if own := r.mu.own; own != nil && !own.landed {
		// Only the number just before it proves that it is not in there. None proves nothing: a
		// term that has ended is forgotten, and so it may be between here and the next look.
		own.passed = own.number == 1 || r.mu.fold.numbers[own.term] != own.number-1
	}
	r.mu.since = Since{SnapshotBytes: int64(len(snapshot)), Snapshot: version, At: at}
	r.mu.sums = sums{}
	r.mu.held.drop(version)
	for next := version + 1; ; next++ {
		payload := r.mu.held.take(next)
		if payload == nil {
			break
		}
		if err := r.applyLocked(next, payload); err != nil {
			return err
		}
	}
	r.wakeLocked()
	return nil
}

func (r *Replica) confirm(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.freshAt.Before(at) {
		r.mu.freshAt = at
	}
}

// expect registers this agent's append in flight; one a journal.
func (r *Replica) expect(t Term, number uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.err != nil {
		return r.mu.err
	}
	r.mu.own = &ownEntry{term: t, number: number}
	return nil
}

// ownOutcome is what is known of this agent's append in flight.
type ownOutcome struct {
	landed  bool    // the first entry with its number is folded: result is certain
	skipped bool    // a snapshot may have it: what it came to can't be known
	version Version // of the state
	result  Result
}

// outcome tells what is known of the append in flight.
func (r *Replica) outcome() (ownOutcome, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	own := r.mu.own
	o := ownOutcome{landed: own.landed, result: own.result, version: r.mu.fold.version}
	o.skipped = !own.landed && (own.passed || r.mu.fold.numbers[own.term] >= own.number)
	return o, r.mu.err
}

func (r *Replica) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.own = nil
}
