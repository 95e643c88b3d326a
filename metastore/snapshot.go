package metastore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// SnapshotHash is the hash by which replicas compare a snapshot's bytes: SHA-256.
func SnapshotHash(b []byte) [32]byte { return sha256.Sum256(b) }

// SnapshotPlacer is what a Snapshotter needs of a Store.
type SnapshotPlacer interface {
	PlaceSnapshot(ctx context.Context, term Term, place SnapshotPlace) (replaced *SnapshotPlace, err error)
	Trim(ctx context.Context, journal JournalID, through Version, rowsMax int) (int, error)
}

// SnapshotObjects is where snapshots' bytes are written, create-only.
type SnapshotObjects interface {
	Put(ctx context.Context, key string, body []byte) error
	Delete(ctx context.Context, key string) error
}

// SnapshotConfig says when a journal gets a snapshot.
type SnapshotConfig struct {
	EntriesMin  int           // since the last; they must outweigh it as well
	After       time.Duration // or this long, if there were any entries
	LookEvery   time.Duration
	TrimRowsMax int // entries deleted by one statement
	Log         *slog.Logger
	// Turn says how many agents look after a journal before this one: it waits for them,
	// once more as long for each; nil: none.
	Turn func(JournalID) int
}

// turnsMax bounds how long an agent waits for those before it.
const turnsMax = 3

// DefaultSnapshotConfig follows DESIGN: at least 1,000 entries that outweigh the last snapshot, or 10 minutes.
func DefaultSnapshotConfig() SnapshotConfig {
	return SnapshotConfig{EntriesMin: 1000, After: 10 * time.Minute, LookEvery: 5 * time.Second, TrimRowsMax: 1000, Log: slog.Default()}
}

// Snapshotter makes snapshots of the journals that a term's agent looks after, and trims what they cover.
type Snapshotter struct {
	cfg      SnapshotConfig
	store    SnapshotPlacer
	objects  SnapshotObjects
	follower *Follower
	writer   *Writer
	unplaced map[JournalID]bool // told, and not placed; owned by Snapshot's caller
	from     int                // the replica that the next look begins with; owned by Run
}

// NewSnapshotter returns a Snapshotter that appends by writer.
func NewSnapshotter(store SnapshotPlacer, objects SnapshotObjects, follower *Follower, writer *Writer, cfg SnapshotConfig) *Snapshotter {
	return &Snapshotter{cfg: cfg, store: store, objects: objects, follower: follower, writer: writer, unplaced: map[JournalID]bool{}}
}

// Run looks after the journals that are followed until ctx ends. A snapshot that can't be made is logged and tried again.
func (s *Snapshotter) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.look(ctx)
	}
}

// look makes the snapshots that are due. One that can't be made ends it, since the next may fail by the same;
// the look after it begins with the next: one journal's trouble doesn't keep the others from theirs.
func (s *Snapshotter) look(ctx context.Context) {
	replicas := s.follower.Replicas()
	for range replicas {
		r := replicas[s.from]
		s.from = (s.from + 1) % len(replicas)
		if !s.due(r) {
			continue
		}
		if err := s.Snapshot(ctx, r.ID()); err != nil {
			if ctx.Err() == nil {
				s.cfg.Log.Log(ctx, TroubleLevel(err), "a snapshot could not be made", "journal", r.ID(), "err", err)
			}
			return
		}
	}
}

func (s *Snapshotter) due(r *Replica) bool {
	since := r.Since()
	if r.Err() != nil {
		return false
	}
	if s.unplaced[r.ID()] {
		return true
	}
	if since.Entries == 0 {
		return false
	}
	times := 1
	if s.cfg.Turn != nil {
		times += min(s.cfg.Turn(r.ID()), turnsMax)
	}
	if since.Entries >= times*s.cfg.EntriesMin && since.Bytes >= int64(times)*since.SnapshotBytes {
		return true
	}
	return s.follower.cfg.Clock().Sub(since.At) >= time.Duration(times)*s.cfg.After
}

// SnapshotPrefix begins the keys of snapshots. Persisted.
const SnapshotPrefix = "snapshots/"

// SnapshotKey is the bucket key of the snapshot of a journal at a version.
func SnapshotKey(j JournalID, v Version) string {
	return fmt.Sprintf(SnapshotPrefix+"%v/%020d", j, uint64(v))
}

// ParseSnapshotKey inverts SnapshotKey up to the journal's name.
func ParseSnapshotKey(key string) (journal string, v Version, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 || parts[0] != "snapshots" {
		return "", 0, false
	}
	n, err := strconv.ParseUint(parts[2], 10, 64)
	return parts[1], Version(n), err == nil
}

// Snapshot marks a version, writes its state to the bucket, tells its hash to the
// other replicas, places it and trims the entries that the one before it covers. What
// remains of that one where tidying up failed goes with the next, and by the collector.
func (s *Snapshotter) Snapshot(ctx context.Context, j JournalID) error {
	landed, err := s.writer.Append(ctx, []Draft{{Journal: j, Effects: AppendSnapshotMark(nil)}})
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	version, body := landed.Parts[0].Version, landed.Parts[0].Snapshot
	place := SnapshotPlace{Journal: j, Version: version, Object: SnapshotKey(j, version), Hash: SnapshotHash(body), Size: int64(len(body))}
	if err := s.objects.Put(ctx, place.Object, body); err != nil {
		return fmt.Errorf("write %s: %w", place.Object, err)
	}
	// Durable, unknown to readers. If we die here, the object is garbage below the next snapshot's version.
	if _, err := s.writer.Append(ctx, []Draft{{Journal: j, Effects: AppendSnapshotHash(nil, version, place.Hash)}}); err != nil {
		return fmt.Errorf("tell the hash of version %d: %w", version, err)
	}
	s.unplaced[j] = true // since what it covers counts no more
	replaced, err := s.store.PlaceSnapshot(ctx, s.writer.Term(), place)
	if err != nil {
		return fmt.Errorf("place version %d: %w", version, err)
	}
	delete(s.unplaced, j)
	s.follower.Replica(j).placed(version, place.Size, s.follower.cfg.Clock())
	// Placed: a start reads it from now on.
	if replaced == nil {
		return nil
	}
	// What the one before covered goes, in small batches; if we die here, the next
	// snapshot goes on. What only this one covers stays, so that a follower that is a
	// poll behind reads entries, not the snapshot.
	for {
		n, err := s.store.Trim(ctx, j, replaced.Version, s.cfg.TrimRowsMax)
		if err != nil {
			return fmt.Errorf("trim through version %d: %w", replaced.Version, err)
		}
		if n < s.cfg.TrimRowsMax {
			break
		}
	}
	// Who read the old place a moment ago finds it gone, and asks for the place again.
	if err := s.objects.Delete(ctx, replaced.Object); err != nil {
		return fmt.Errorf("delete %s: %w", replaced.Object, err)
	}
	return nil
}
