package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// day are the measures of a day of small flushes.
type day struct {
	segments   int   // flushed
	partitions int32 // of which each flush has some
	perFlush   int32
	valueBytes int
}

// took is what a day left.
type took struct {
	ingest, merged    int   // objects
	bytes             int64 // of all objects
	appended, journal int64 // bytes: of all entries, and of those that are still there
	snapshot, replica int64 // bytes
	extents           int   // in the replica
	records           int64
	replayed          int64 // bytes
	gets, statements  int64
	took              time.Duration
}

// run lets a day pass: a flush each time, snapshots each ten minutes, merging and collection as an agent does them, if merging.
func (d day) run(ctx context.Context, merging bool) (*took, error) {
	begin := time.Now()
	w, err := newWorld(ctx, d.partitions, catalog{})
	if err != nil {
		return nil, err
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	step := 24 * time.Hour.Milliseconds() / int64(d.segments)
	var snapshotAt, collectAt int64
	for n := range d.segments {
		now := w.now.Add(step)
		batches := map[int32][]byte{}
		for k := range d.perFlush {
			value := make([]byte, d.valueBytes/2+rnd.IntN(d.valueBytes))
			batches[(int32(n)*d.perFlush+k)%d.partitions] = batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1},
				[]batch.Record{{Timestamp: now, Value: value}})
		}
		if err := w.flush(batches); err != nil {
			return nil, err
		}
		if now-snapshotAt >= (10 * time.Minute).Milliseconds() {
			snapshotAt = now
			if err := w.snapshots.Snapshot(ctx, metastore.ShardJournal(0)); err != nil {
				return nil, err
			}
		}
		if !merging {
			continue
		}
		if n%6 == 0 { // about every five seconds
			if err := w.compactor.Shard(ctx, 0); err != nil {
				return nil, err
			}
		}
		if now-collectAt >= (10 * time.Minute).Milliseconds() {
			collectAt = now
			if err := w.compactor.Collect(ctx); err != nil {
				return nil, err
			}
		}
	}
	t, err := w.left()
	if err != nil {
		return nil, err
	}
	t.took = time.Since(begin)
	return t, nil
}

// left measures what a day left, and reads all of it.
func (w *world) left() (*took, error) {
	t := &took{appended: w.appended}
	var bytes int64
	var err error
	if t.ingest, bytes, err = w.stored(segment.IngestPrefix); err != nil {
		return nil, err
	}
	t.bytes = bytes
	if t.merged, bytes, err = w.stored(segment.MergedPrefix); err != nil {
		return nil, err
	}
	t.bytes += bytes
	places, err := w.store.Snapshots(w.ctx, []metastore.JournalID{metastore.ShardJournal(0)})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		t.snapshot = p.Size
		for after := p.Version; ; {
			tails, err := w.store.Read(w.ctx, []metastore.Position{{Journal: metastore.ShardJournal(0), After: after}}, 1<<20)
			if err != nil {
				return nil, err
			}
			if len(tails) == 0 || len(tails[0].Entries) == 0 {
				break
			}
			for _, e := range tails[0].Entries {
				t.journal += int64(len(e.Payload))
				after++
			}
		}
	}
	before := heap()
	follower, err := w.replica(nil)
	if err != nil {
		return nil, err
	}
	t.replica = heap() - before
	metastore.View(follower.Replica(metastore.ShardJournal(0)), func(s *shard.State) {
		for _, h := range s.Hot(nil) {
			t.extents += h.Extents
		}
	})
	t.records, t.replayed, t.gets, t.statements, err = w.replay(256 << 20)
	return t, err
}

// print prints two days as the table of the README.
func (d day) print(out io.Writer, before, after *took) {
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	fmt.Fprintf(out, "| %d flushes of %d batches, %d partitions | without merging | with |\n|---|---|---|\n", d.segments, d.perFlush, d.partitions)
	for _, row := range []struct {
		what string
		of   func(*took) string
	}{
		{"objects of segments", func(t *took) string { return fmt.Sprintf("%d + %d", t.ingest, t.merged) }},
		{"their bytes", func(t *took) string { return mib(t.bytes) }},
		{"extents in a replica", func(t *took) string { return fmt.Sprint(t.extents) }},
		{"memory of a replica", func(t *took) string { return mib(t.replica) }},
		{"snapshot", func(t *took) string { return mib(t.snapshot) }},
		{"journal since the snapshot", func(t *took) string { return mib(t.journal) }},
		{"GETs of a full replay", func(t *took) string { return fmt.Sprint(t.gets) }},
		{"statements of a full replay", func(t *took) string { return fmt.Sprint(t.statements) }},
		{"records read", func(t *took) string { return fmt.Sprint(t.records) }},
		{"bytes read", func(t *took) string { return mib(t.replayed) }},
	} {
		fmt.Fprintf(out, "| %s | %s | %s |\n", row.what, row.of(before), row.of(after))
	}
}
