package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/postgres"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

const (
	auditMax   = 10 * time.Minute
	readersMax = 8 // segments read at once
)

// audit compares the bucket with the metastore, past all agents: every byte that
// an entry names is there, and whatever else is there is known garbage.
func (r *run) audit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, auditMax)
	defer cancel()
	a := auditor{run: r}
	if err := a.open(ctx); err != nil {
		r.found("the audit can't begin: %v", err)
		return
	}
	defer a.close()
	if err := a.readRows(ctx); err != nil {
		a.found("the audit can't read the extents' rows: %v", err)
		return
	}
	a.extents()
	if err := a.readSegments(ctx); err != nil {
		a.found("the audit can't read the segments: %v", err)
	}
	bill, err := r.verify(ctx)
	if err != nil {
		a.found("bucket and metastore don't agree: %v", err)
		return
	}
	r.note("audit: %d partitions, %d extents and %d merged ones in %d segments, of which %d were read; %d snapshots placed; objects: %s",
		a.partitions, a.named, a.merged, len(a.segments)+len(a.merges), a.read+len(a.merges), a.snapshots, bill)
}

// piece is an extent as an entry names it.
type piece struct {
	shard.Extent
	topic     [16]byte
	partition int32
}

type auditor struct {
	*run
	bucket   bucket.Bucket
	store    *postgres.Store
	follower *metastore.Follower
	undo     []func()
	segments map[segment.ID][]piece                      // what entries name
	rows     map[shard.PartitionID][]metastore.ExtentRow // by their offsets
	merges   map[string][]mergedPiece                    // what rows name, by segment

	partitions, named, merged, snapshots int
	read                                 int // segments, merged ones aside
}

func (a *auditor) open(ctx context.Context) error {
	b, closer, err := bucket.Open(ctx, a.cluster.Bucket)
	if err != nil {
		return err
	}
	a.bucket = b
	a.undo = append(a.undo, func() { closer.Close() })
	if a.store, err = postgres.Open(ctx, a.cluster.Metastore, metastore.DefaultCluster()); err != nil {
		return err
	}
	a.undo = append(a.undo, func() { a.store.Close() })
	fc := metastore.DefaultFollowerConfig()
	fc.Log = slog.New(slog.DiscardHandler)
	a.follower = metastore.NewFollower(a.store, b, fc)
	journals := []metastore.JournalID{metastore.CatalogJournal}
	a.follower.Follow(metastore.CatalogJournal, catalog.New())
	for i := range a.store.Cluster().Shards {
		journals = append(journals, metastore.ShardJournal(i))
		a.follower.Follow(metastore.ShardJournal(i), shard.New())
	}
	for i := range a.store.Cluster().Groups {
		journals = append(journals, metastore.GroupsJournal(i))
	}
	if err := a.follower.Load(ctx); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.follower.Run(following)
	}()
	a.undo = append(a.undo, func() { stop(); <-ended })
	for _, replica := range a.follower.Replicas() {
		if err := replica.Err(); err != nil {
			a.found("%v can't be folded: %v", replica.ID(), err)
		}
	}
	places, err := a.store.Snapshots(ctx, journals)
	if err != nil {
		return err
	}
	a.snapshots = len(places)
	for _, p := range places {
		if body, err := b.Get(ctx, p.Object, 0, -1); err != nil || metastore.SnapshotHash(body) != p.Hash {
			a.found("the snapshot %s is not what was placed: %d bytes, %v", p.Object, len(body), err)
		}
	}
	return nil
}

func (a *auditor) close() {
	for i := len(a.undo) - 1; i >= 0; i-- {
		a.undo[i]()
	}
}

// extents gathers what the tables and the shards' replicas name, and checks that offsets
// are dense: these clients leave none out.
func (a *auditor) extents() {
	a.segments, a.merges = map[segment.ID][]piece{}, map[string][]mergedPiece{}
	for i := range a.store.Cluster().Shards {
		metastore.View(a.follower.Replica(metastore.ShardJournal(i)), func(s *shard.State) {
			for _, id := range s.Partitions() {
				a.partitions++
				start, high, _, _ := s.Bounds(id)
				topic, ok := s.TopicID(id.Topic)
				if !ok {
					a.found("shard %d holds partition %v without its topic's id", i, id)
				}
				next := start
				if m, _ := s.Merged(id); m.To > start {
					next = a.mergedExtents(id, topic, start)
					if next != m.To {
						a.found("partition %v is merged up to offset %d, its rows end at %d", id, m.To, next)
					}
				}
				for _, e := range s.Plan(id, next, math.MaxInt, nil) {
					a.named++
					if e.BaseOffset != next {
						a.found("partition %v goes on at offset %d, not %d", id, e.BaseOffset, next)
					}
					next = e.End()
					if !e.IsMarker() {
						a.segments[e.Segment] = append(a.segments[e.Segment], piece{e, topic, id.Index})
					}
				}
				if next != high {
					a.found("partition %v ends at offset %d, its extents at %d", id, high, next)
				}
			}
		})
	}
}

// readSegments reads what is named: whole, by its checksums, and each extent's bytes.
func (a *auditor) readSegments(ctx context.Context) error {
	readers, ctx := errgroup.WithContext(ctx)
	readers.SetLimit(readersMax)
	for id, pieces := range a.segments {
		if a.read++; a.auditMax > 0 && a.read > a.auditMax {
			a.read--
			break
		}
		readers.Go(func() error {
			a.readSegment(ctx, id, pieces)
			return ctx.Err()
		})
	}
	for key, pieces := range a.merges {
		readers.Go(func() error {
			a.readMerged(ctx, key, pieces)
			return ctx.Err()
		})
	}
	return readers.Wait()
}

func (a *auditor) readSegment(ctx context.Context, id segment.ID, pieces []piece) {
	body, err := a.bucket.Get(ctx, id.Key(), 0, -1)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.found("%d extents name %v, which can't be read: %v", len(pieces), id, err)
		return
	}
	s, err := segment.Parse(body)
	if err == nil {
		err = s.Verify()
	}
	if err == nil && s.ID != id {
		err = fmt.Errorf("it says that it is %v", s.ID)
	}
	if err != nil {
		a.found("%d extents name %v, which is damaged: %v", len(pieces), id, err)
		return
	}
	for _, p := range pieces {
		if err := p.holds(s); err != nil {
			a.found("offset %d of partition %d of topic %x in %v: %v", p.BaseOffset, p.partition, p.topic, id, err)
		}
	}
}

// holds checks that a segment has the extent's batches where the entry says.
func (p piece) holds(s *segment.Segment) error {
	for i := range s.Runs {
		run := &s.Runs[i]
		if run.Topic != p.topic || run.Partition != p.partition || p.Position < run.Position || p.Position+p.Length > run.End() {
			continue
		}
		records, begins, ends := int64(0), false, false
		for at := range run.Each() {
			if at < p.Position || at >= p.Position+p.Length {
				ends = ends || at == p.Position+p.Length
				continue
			}
			begins = begins || at == p.Position
			h, err := batch.Parse(s.Bytes(run)[at-run.Position:])
			if err != nil {
				return err
			}
			records += int64(h.LastOffsetDelta) + 1
		}
		ends = ends || p.Position+p.Length == run.End()
		switch {
		case !begins || !ends:
			return fmt.Errorf("bytes %d to %d are no whole batches", p.Position, p.Position+p.Length)
		case records != int64(p.Records):
			return fmt.Errorf("%d records are there, the entry says %d", records, p.Records)
		}
		return nil
	}
	return fmt.Errorf("no run of the partition holds bytes %d to %d", p.Position, p.Position+p.Length)
}

// verify lets wadi verify look at every object: named, or garbage of a kind that is
// known. It returns what it says, on one line.
func (r *run) verify(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, r.program, "verify", "--bucket", r.cluster.Bucket, "--metastore", r.cluster.Metastore)
	command.Dir = r.folder
	said, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("wadi verify: %w: %.2000s", err, said)
	}
	var bill []string
	for line := range strings.Lines(string(said)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] != "WHAT" {
			bill = append(bill, strings.Join(words, " "))
			if words[0] == "other" && words[1] != "1" { // cluster.json
				r.found("the bucket holds objects which nothing explains: %s", line)
			}
		}
	}
	return strings.Join(bill, ", "), nil
}
