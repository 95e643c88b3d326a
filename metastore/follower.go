package metastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Reader is what a Follower needs of a Store.
type Reader interface {
	Read(ctx context.Context, positions []Position, bytesMax int) ([]Tail, error)
	Snapshots(ctx context.Context, journals []JournalID) ([]SnapshotPlace, error)
}

// Objects reads snapshots' bytes from the bucket.
type Objects interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
}

// FollowerConfig bounds a Follower.
type FollowerConfig struct {
	PollEvery       time.Duration // the net under everything that wakes a replica sooner
	GapWait         time.Duration // before what is missing under a pushed entry is read
	ReadBytesMax    int           // payload bytes of one journal in one read
	ReadTimeout     time.Duration // of one statement
	SnapshotTimeout time.Duration // of loading one snapshot's bytes
	Clock           func() time.Time
	Log             *slog.Logger
}

// DefaultFollowerConfig polls each second and fills gaps after 20 ms.
func DefaultFollowerConfig() FollowerConfig {
	return FollowerConfig{
		PollEvery:       time.Second,
		GapWait:         20 * time.Millisecond,
		ReadBytesMax:    8 << 20,
		ReadTimeout:     10 * time.Second,
		SnapshotTimeout: time.Minute,
		Clock:           time.Now,
		Log:             slog.Default(),
	}
}

// Follower keeps replicas of journals up to date by reading what they lack. One
// read is in flight at a time; who asks meanwhile shares the next one, never one
// that began before it asked.
type Follower struct {
	cfg      FollowerConfig
	store    Reader
	mover    Mover // store, if its server may become another
	objects  Objects
	replicas map[JournalID]*Replica // filled before Run, then fixed
	order    []JournalID
	kick     chan struct{}
	gap      chan struct{} // an entry was pushed whose predecessors are missing
	pushers  atomic.Int64  // streams by which entries come
	pushed   pushCounters
	trouble  Trouble // of reads
	mu       struct {
		sync.Mutex
		next    *round
		reading map[JournalID]int // rounds that have not ended
	}
}

// NewFollower returns a Follower of no journals.
func NewFollower(store Reader, objects Objects, cfg FollowerConfig) *Follower {
	mover, _ := store.(Mover)
	f := &Follower{cfg: cfg, store: store, mover: mover, objects: objects,
		replicas: map[JournalID]*Replica{}, kick: make(chan struct{}, 1), gap: make(chan struct{}, 1),
		trouble: Trouble{Log: cfg.Log, Level: slog.LevelWarn, Begun: "the metastore can't be read: what this agent knows grows old", Over: "the metastore is read again"}}
	f.mu.reading = map[JournalID]int{}
	return f
}

// Follow adds a journal. Call it before Load and Run.
func (f *Follower) Follow(id JournalID, m Machine) *Replica {
	r := newReplica(id, m, f.cfg.Clock)
	f.replicas[id] = r
	f.order = append(f.order, id)
	slices.Sort(f.order)
	return r
}

// Replica returns the replica of a journal, else nil.
func (f *Follower) Replica(id JournalID) *Replica { return f.replicas[id] }

// Replicas returns all replicas in the order of their journals.
func (f *Follower) Replicas() []*Replica {
	rs := make([]*Replica, len(f.order))
	for i, id := range f.order {
		rs[i] = f.replicas[id]
	}
	return rs
}

// Load brings the replicas to their journals' heads, from snapshots and the entries
// after them. It is called once, before Run and before anything is appended.
func (f *Follower) Load(ctx context.Context) error {
	if err := f.restoreSnapshots(ctx); err != nil {
		return err
	}
	return f.read(ctx, f.order)
}

// restoreSnapshots loads the newest snapshots of the journals.
func (f *Follower) restoreSnapshots(ctx context.Context) error {
	find := func() ([]SnapshotPlace, error) {
		ctx, cancel := context.WithTimeout(ctx, f.cfg.ReadTimeout)
		defer cancel()
		places, err := f.store.Snapshots(ctx, f.order)
		if err != nil {
			return nil, fmt.Errorf("find the journals' snapshots: %w", err)
		}
		return places, nil
	}
	places, err := find()
	for err == nil {
		if err = f.restoreAll(ctx, places); err == nil {
			return nil
		}
		again, lookErr := find()
		if lookErr != nil || slices.Equal(places, again) {
			return err
		}
		// A snapshot was replaced, and its object deleted, while it was loaded.
		places, err = again, nil
	}
	return err
}

// snapshotLoadsMax bounds the snapshots that are loaded at once.
const snapshotLoadsMax = 8

func (f *Follower) restoreAll(ctx context.Context, places []SnapshotPlace) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(snapshotLoadsMax)
	for _, p := range places {
		group.Go(func() error {
			if f.replicas[p.Journal].Version() >= p.Version {
				return nil
			}
			return f.restore(ctx, p)
		})
	}
	return group.Wait()
}

// Run reads when asked, and each PollEvery as a net, until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(f.cfg.PollEvery)
	defer tick.Stop()
	gap := time.NewTimer(0)
	gap.Stop()
	defer gap.Stop()
	open := false // gap is running
	for {
		var journals []JournalID
		select {
		case <-ctx.Done():
			return nil
		case <-f.gap:
			if !open {
				open = true
				gap.Reset(f.cfg.GapWait)
			}
			continue
		case <-gap.C:
			open = false
			journals = f.behind()
			if len(journals) == 0 {
				continue
			}
			f.pushed.fills.Add(1)
			f.tell(ctx, f.read(ctx, journals))
			continue
		case <-f.kick:
		case <-tick.C:
			journals = slices.Clone(f.order)
		}
		f.mu.Lock()
		asked := f.mu.next
		f.mu.next = nil
		f.mu.Unlock()
		if asked != nil {
			for id := range asked.journals {
				journals = append(journals, id)
			}
			slices.Sort(journals)
			journals = slices.Compact(journals)
		}
		if len(journals) == 0 {
			continue
		}
		err := f.read(ctx, journals)
		if asked != nil {
			f.end(asked, err)
		}
		f.tell(ctx, err)
	}
}

// tell logs what has become of a read.
func (f *Follower) tell(ctx context.Context, err error) {
	switch {
	case err == nil:
		f.trouble.End()
	case ctx.Err() == nil:
		f.trouble.Meet(err)
	}
}

// read reads until each of the journals' replicas has reached a head that a read
// of this call saw. A stopped journal is passed over.
func (f *Follower) read(ctx context.Context, journals []JournalID) error {
	for len(journals) > 0 {
		began := f.cfg.Clock()
		positions := make([]Position, 0, len(journals))
		for _, id := range journals {
			if r := f.replicas[id]; r.Err() == nil {
				positions = append(positions, Position{id, r.Version()})
			}
		}
		if len(positions) == 0 {
			return nil
		}
		readCtx, cancel := context.WithTimeout(ctx, f.cfg.ReadTimeout)
		tails, err := f.store.Read(readCtx, positions, f.cfg.ReadBytesMax)
		cancel()
		if err != nil {
			return fmt.Errorf("read the journals: %w", err)
		}
		journals = journals[:0:0]
		for i, tail := range tails {
			more, err := f.take(ctx, positions[i], tail, began)
			if err != nil {
				return err
			}
			if more {
				journals = append(journals, tail.Journal)
			}
		}
	}
	return nil
}

// take folds what a read returned of one journal. more says that its head is not reached.
func (f *Follower) take(ctx context.Context, asked Position, tail Tail, began time.Time) (more bool, err error) {
	r := f.replicas[tail.Journal]
	if tail.Lost > 0 {
		err := &LostTailError{Journal: tail.Journal, Head: tail.Head, Seen: tail.Lost}
		r.stop(err)
		f.stopped(r, err)
		return false, nil
	}
	if tail.Head < asked.After {
		err := &LostTailError{Journal: tail.Journal, Head: tail.Head, Seen: asked.After}
		r.stop(err)
		f.stopped(r, err)
		return false, nil
	}
	if tail.Trimmed && r.Version() > asked.After {
		return true, nil // What was trimmed meanwhile had been folded meanwhile.
	}
	if tail.Trimmed {
		places, err := f.store.Snapshots(ctx, []JournalID{tail.Journal})
		if err != nil {
			return false, fmt.Errorf("find the snapshot of %v: %w", tail.Journal, err)
		}
		if len(places) == 0 || places[0].Version <= asked.After {
			return false, fmt.Errorf("%v is trimmed after version %d and has no later snapshot", tail.Journal, asked.After)
		}
		return true, f.restore(ctx, places[0])
	}
	for _, e := range tail.Entries {
		gap, err := r.deliver(e.Version, e.Payload, false)
		if gap {
			err = fmt.Errorf("%w: the metastore returned version %d after %d", ErrStopped, e.Version, r.Version())
			r.stop(err)
		}
		if err != nil {
			f.stopped(r, err)
			return false, nil
		}
	}
	if r.Version() < tail.Head {
		return true, nil
	}
	r.confirm(began)
	return false, nil
}

func (f *Follower) restore(ctx context.Context, p SnapshotPlace) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.SnapshotTimeout)
	defer cancel()
	body, err := f.objects.Get(ctx, p.Object, 0, -1)
	if err != nil {
		return fmt.Errorf("load the snapshot of %v at version %d: %w", p.Journal, p.Version, err)
	}
	if int64(len(body)) != p.Size || SnapshotHash(body) != p.Hash {
		return fmt.Errorf("the snapshot %s is not what was written: %d bytes, hash %x", p.Object, len(body), SnapshotHash(body))
	}
	r := f.replicas[p.Journal]
	err = r.restore(p.Version, body, f.cfg.Clock())
	if errors.Is(err, ErrStopped) {
		f.stopped(r, err)
	}
	return err
}

// stopped says it once that a journal has stopped here.
func (f *Follower) stopped(r *Replica, err error) {
	if r.told.CompareAndSwap(false, true) {
		f.cfg.Log.Error("a journal has stopped", "journal", r.id, "err", err)
	}
}
