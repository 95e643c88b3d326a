package compaction

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

// archived is a policy of a topic that is archived at once.
var archived = Policy{Retention: -1, RetentionBytes: -1, Archive: ArchivePolicy{Topic: "flights", On: true, Value: archive.Binary, Retention: -1}}

// files are the archive's rows.
func (a *agent) files() []metastore.ArchiveFile {
	a.w.t.Helper()
	files, err := a.w.store.ArchiveFiles(a.w.t.Context(), metastore.ArchiveQuery{Topic: "flights", After: metastore.ArchiveBegin(), Limit: 100_000})
	a.do("read the archive's files", err)
	return files
}

// readFile reads an archive's object: offset and value of each row.
func (a *agent) readFile(f *metastore.ArchiveFile) (rows []string) {
	a.w.t.Helper()
	body := a.w.bucket.bodies[f.Object]
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		a.w.t.Fatalf("%s: %v", f.Object, err)
	}
	if r.NumRows() != f.Rows || int64(len(body)) != f.Bytes || r.NumRowGroups() != 1 {
		a.w.t.Fatalf("%s: %d rows, %d bytes, the row is %+v", f.Object, r.NumRows(), len(body), f)
	}
	column := func(i int) file.ColumnChunkReader {
		c, err := r.RowGroup(0).Column(i)
		if err != nil {
			a.w.t.Fatal(err)
		}
		return c
	}
	offsets, times, values := make([]int64, f.Rows), make([]int64, f.Rows), make([]parquet.ByteArray, f.Rows)
	defs := make([]int16, f.Rows)
	if _, n, err := column(2).(*file.Int64ColumnChunkReader).ReadBatch(f.Rows, offsets, nil, nil); err != nil || int64(n) != f.Rows {
		a.w.t.Fatal(n, err)
	}
	if _, _, err := column(3).(*file.Int64ColumnChunkReader).ReadBatch(f.Rows, times, defs, nil); err != nil {
		a.w.t.Fatal(err)
	}
	if _, n, err := column(8).(*file.ByteArrayColumnChunkReader).ReadBatch(f.Rows, values, defs, nil); err != nil || int64(n) != f.Rows {
		a.w.t.Fatal(n, err)
	}
	if offsets[0] != f.First || offsets[f.Rows-1] != f.Last || !slices.IsSorted(offsets) {
		a.w.t.Fatalf("%s: offsets %v of %+v", f.Object, offsets, f)
	}
	for i := range offsets {
		date, hour := archive.HourOf(times[i] / 1000).Date()
		if date != f.Date || hour != f.Hour {
			a.w.t.Fatalf("%s: a record of %d µs", f.Object, times[i])
		}
		rows = append(rows, fmt.Sprintf("%d:%d:%x", offsets[i], times[i]/1000, []byte(values[i])))
	}
	return rows
}

// archive reads all of a partition's archive, by offset.
func (a *agent) archiveOf(id shard.PartitionID) []string {
	var rows []string
	for _, f := range a.files() {
		if f.Partition == id.Index {
			rows = append(rows, a.readFile(&f)...)
		}
	}
	sortRows(rows)
	return rows
}

func sortRows(rows []string) {
	slices.SortFunc(rows, func(x, y string) int {
		var a, b int64
		fmt.Sscanf(x, "%d:", &a)
		fmt.Sscanf(y, "%d:", &b)
		return int(a - b)
	})
}

// consumed is what a read_committed consumer reads of a partition below its last stable offset.
func (a *agent) consumed(id shard.PartitionID) []string {
	a.w.t.Helper()
	h := a.readPartition(id)
	var rows []string
	for _, b := range h.batches {
		header, err := batch.Parse(b.body)
		if err != nil {
			a.w.t.Fatal(err)
		}
		aborted := false
		for _, text := range strings.Fields(h.aborted) {
			var producer, first, last int64
			fmt.Sscanf(text, "%d:%d-%d", &producer, &first, &last)
			aborted = aborted || header.Transactional() && header.ProducerID == producer && first <= b.base && b.base <= last
		}
		if header.Control() || aborted || b.base >= h.stable {
			continue
		}
		for r, err := range batch.Records(b.body, 1<<20) {
			if err != nil {
				a.w.t.Fatal(err)
			}
			if r.Offset >= h.logStart {
				rows = append(rows, fmt.Sprintf("%d:%d:%x", r.Offset, r.Timestamp, r.Value))
			}
		}
	}
	return rows
}

// TestArchive_IsWhatConsumersRead is the property: whatever the history, and wherever merges and
// archive jobs of two agents come, the archive holds what a consumer reads, each record once.
func TestArchive_IsWhatConsumersRead(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			rnd := rand.New(rand.NewPCG(seed, 5))
			a, b := w.agent(func(c *Config, _ *faults) { c.JobBytesMax = 1 + rnd.Int64N(4000) }), w.agent()
			a.open(1, 2, archived)
			b.refresh()
			transactions := map[int64]uint64{}
			next := uint64(1)
			for range 60 {
				one := pickAgent(rnd, a, b)
				switch rnd.IntN(8) {
				case 0, 1, 2:
					var batches []produced
					for range 1 + rnd.IntN(4) {
						batches = append(batches, produced{
							id: shard.PartitionID{Topic: 1, Index: rnd.Int32N(2)}, records: 1 + rnd.IntN(4),
							timestamp: w.clock().UnixMilli() + rnd.Int64N(3*3_600_000), value: rnd.IntN(200),
						})
					}
					one.flush(batches...)
				case 3:
					producer := 1 + rnd.Int64N(3)
					if transactions[producer] == 0 {
						transactions[producer] = next
						p := produced{id: p0, records: 2, producer: producer, transaction: next, timestamp: 7}
						a.flush(p)
						next++
					}
				case 4:
					producer := 1 + rnd.Int64N(3)
					if x := transactions[producer]; x != 0 {
						m := shard.Marker{Producer: producer, Transaction: x, Epoch: int16(x), Commit: rnd.IntN(2) == 0, Timestamp: 5, Partitions: []shard.PartitionID{p0}}
						a.append(0, shard.AppendMarker(nil, m))
						transactions[producer] = 0
					}
				case 5:
					one.refresh()
					one.do("merge", one.Merge(t.Context(), 0))
				default:
					if rnd.IntN(2) == 0 {
						one.refresh()
					}
					one.do("archive", one.Archive(t.Context(), 0))
				}
			}
			a.refresh()
			a.do("archive", a.Archive(t.Context(), 0))
			for i := range int32(2) {
				id := shard.PartitionID{Topic: 1, Index: i}
				if got, want := fmt.Sprint(a.archiveOf(id)), fmt.Sprint(a.consumed(id)); got != want {
					t.Fatalf("partition %v: the archive holds\n%.1500s\na consumer reads\n%.1500s", id, got, want)
				}
			}
		})
	}
}

// What is not archived yet stays, whatever retention says; then it goes, and the archive keeps it.
func TestArchive_RetentionWaits(t *testing.T) {
	for _, merged := range []bool{false, true} {
		w := newWorld(t)
		a := w.agent()
		policy := archived
		policy.Delete, policy.Retention, policy.RetentionBytes = true, 0, 0
		a.open(1, 1, policy)
		a.flush(produced{id: p0, records: 10, timestamp: 5})
		a.flush(produced{id: p0, records: 10, timestamp: 6})
		if merged {
			a.do("merge", a.Merge(t.Context(), 0))
		}
		a.do("retain", a.Retain(t.Context(), 0))
		if got := a.logStart(p0); got != 0 {
			t.Fatalf("log start %d of what isn't archived", got)
		}
		a.do("archive", a.Archive(t.Context(), 0))
		a.do("retain", a.Retain(t.Context(), 0))
		if got := a.logStart(p0); got != 20 {
			t.Fatalf("merged %t: log start %d of what is archived", merged, got)
		}
		if got := len(a.archiveOf(p0)); got != 20 {
			t.Fatalf("%d rows", got)
		}
	}
}

// Records wait for their interval, for the end of the hour, or until they are many.
func TestArchive_Due(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000).Truncate(time.Hour).Add(50 * time.Minute)
	for name, c := range map[string]struct {
		a     archiving
		waits time.Duration
		want  bool
	}{
		"just come":               {archiving{policy: ArchivePolicy{Every: time.Hour}}, 0, false},
		"waits":                   {archiving{policy: ArchivePolicy{Every: time.Hour}}, 9 * time.Minute, false},
		"the hour is just over":   {archiving{policy: ArchivePolicy{Every: time.Hour}}, 10*time.Minute + 59*time.Second, false},
		"the hour is over":        {archiving{policy: ArchivePolicy{Every: time.Hour}}, 11 * time.Minute, true},
		"long enough":             {archiving{policy: ArchivePolicy{Every: 5 * time.Minute}}, 5 * time.Minute, true},
		"many":                    {archiving{policy: ArchivePolicy{Every: time.Hour}, bytes: archiveWaitBytes}, 0, true},
		"not quite long nor many": {archiving{policy: ArchivePolicy{Every: time.Minute}, bytes: archiveWaitBytes - 1}, 59 * time.Second, false},
	} {
		if got := c.a.due(at.Add(c.waits), at); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Of a job that dies after its puts, or that another's came before, the objects go once the term is dead.
func TestArchive_Orphans(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("cut off")
	a := w.agent(func(_ *Config, f *faults) {
		f.onRows = func() (bool, error) { return false, metastore.ErrRowsTaken }
	})
	b := w.agent()
	a.open(1, 1, archived)
	a.flush(produced{id: p0, records: 10, timestamp: 5})
	b.refresh()
	a.do("archive", a.Archive(t.Context(), 0))
	if a.Stats.ArchivesLost.Load() != 1 || len(a.files()) != 0 {
		t.Fatalf("%d lost, files %v", a.Stats.ArchivesLost.Load(), a.files())
	}
	b.do("archive", b.Archive(t.Context(), 0))
	keys := w.bucket.keys(archive.Prefix)
	if len(keys) != 2 || !bytes.Equal(w.bucket.bodies[keys[0]], w.bucket.bodies[keys[1]]) {
		t.Fatalf("two jobs over the same records: %v", keys)
	}
	b.do("collect", b.Collect(t.Context()))
	w.pass(time.Hour)
	b.do("collect", b.Collect(t.Context()))
	if got := len(w.bucket.keys(archive.Prefix)); got != 2 {
		t.Fatalf("%d objects while their term lives", got)
	}
	bill, err := Verify(t.Context(), b.deps)
	if err != nil || bill.InFlight.Objects < 1 || !bill.Agrees() || bill.Other.Objects != 0 {
		t.Fatalf("%+v, %v", bill, err)
	}
	if _, err := w.store.EndTerm(t.Context(), a.term, true); err != nil {
		t.Fatal(err)
	}
	b.do("collect", b.Collect(t.Context()))
	w.pass(time.Hour)
	b.do("collect", b.Collect(t.Context()))
	if got := w.bucket.keys(archive.Prefix); len(got) != 1 || got[0] != b.files()[0].Object {
		t.Fatalf("left: %v", got)
	}
	if got := len(b.archiveOf(p0)); got != 10 {
		t.Fatalf("%d rows", got)
	}
	b.flush(produced{id: p0, records: 1, timestamp: 5})
	w.bucket.onPut = func(string, []byte) ([]byte, error) { return nil, broken }
	if err := b.Archive(t.Context(), 0); !errors.Is(err, broken) {
		t.Fatalf("put: %v", err)
	}
	// The bucket holds something else than was put: nothing is committed.
	w.bucket.onPut = func(_ string, body []byte) ([]byte, error) { body[len(body)/2] ^= 1; return body, nil }
	if err := b.Archive(t.Context(), 0); !errors.Is(err, errOutput) {
		t.Fatalf("a corrupt object: %v", err)
	}
	w.bucket.onPut = nil
	b.do("archive", b.Archive(t.Context(), 0))
	if got := len(b.archiveOf(p0)); got != 11 {
		t.Fatalf("%d rows", got)
	}
}

// An archive that can't be written keeps nothing else of its shard waiting.
func TestArchive_BrokenHoldsUpNothing(t *testing.T) {
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, archived)
	for n := range 20 {
		a.flush(produced{id: p0, records: 1, timestamp: int64(5 + n)})
	}
	broken := errors.New("403")
	w.bucket.onPut = func(key string, body []byte) ([]byte, error) {
		if strings.HasPrefix(key, archive.Prefix) {
			return nil, broken
		}
		return body, nil
	}
	a.cfg.MergeEvery, a.cfg.MergeBytesMin = time.Hour, 1
	if err := a.Shard(t.Context(), 0); !errors.Is(err, broken) {
		t.Fatalf("the look at the shard: %v", err)
	}
	if got := a.mergedTo(p0); got != 20 {
		t.Errorf("merged to %d", got)
	}
}

// The archive's own retention deletes rows at once, and objects after the grace.
func TestArchive_Expires(t *testing.T) {
	w := newWorld(t)
	a := w.agent()
	policy := archived
	policy.Archive.Retention = 24 * time.Hour
	a.open(1, 1, policy)
	now := w.clock().UnixMilli()
	a.flush(produced{id: p0, records: 3, timestamp: now - 25*3_600_000}, produced{id: p0, records: 4, timestamp: now})
	a.do("archive", a.Archive(t.Context(), 0))
	if len(a.files()) != 2 {
		t.Fatalf("files %v", a.files())
	}
	a.do("expire", a.ExpireArchive(t.Context(), 0))
	if files := a.files(); len(files) != 1 || files[0].Rows != 4 {
		t.Fatalf("files %v", files)
	}
	if got := len(w.bucket.keys(archive.Prefix)); got != 2 {
		t.Fatalf("%d objects in the grace", got)
	}
	w.pass(time.Hour)
	a.do("collect", a.Collect(t.Context()))
	if got := w.bucket.keys(archive.Prefix); len(got) != 1 || got[0] != a.files()[0].Object {
		t.Fatalf("left: %v", got)
	}
}

// A batch whose records are scattered over years doesn't make an object for each.
func TestArchive_ScatteredTimes(t *testing.T) {
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, archived)
	for i := range 200 {
		a.flush(produced{id: p0, records: 1, timestamp: int64(i) * 7 * 86_400_000})
	}
	a.do("archive", a.Archive(t.Context(), 0))
	if got, want := fmt.Sprint(a.archiveOf(p0)), fmt.Sprint(a.consumed(p0)); got != want {
		t.Fatalf("got %.500s, want %.500s", got, want)
	}
	// Records of one batch have their hours too, as many as hours have objects; a job ends after it.
	for count, want := range map[int]int{archiveBatchHoursMax: archiveBatchHoursMax, 2000: archiveBatchHoursMax} {
		var records []batch.Record
		for i := range 2000 {
			records = append(records, batch.Record{Offset: int64(i), Timestamp: int64(1+i%count) * 3_600_000})
		}
		wk := &work{id: p0, to: 2001}
		wk.keep(0, 2000, batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records))
		wk.keep(2000, 2001, batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records[:1]))
		made := hours{space: &archiveSpace{}}
		made.begin = func(bool) (*archive.Object, error) {
			return made.space.encoder.Begin(archive.Info{Value: archive.Binary})
		}
		to, err := made.make(t.Context(), wk)
		if got := len(made.of); err != nil || to != 2000 || got < want || got > want+1 {
			t.Fatalf("%d hours to %d, %v", got, to, err)
		}
		for hour, h := range made.of {
			if n := int(h.typed.object.Rows); hour != archive.NoHour && n != 2000/count && n != 2000/count+1 || hour == archive.NoHour && n != 2000-archiveBatchHoursMax {
				t.Fatalf("%d records in hour %d of %d", n, hour, count)
			}
		}
	}
}

// flushValues flushes a batch of these values, all at one time.
func (a *agent) flushValues(timestamp int64, values ...string) {
	var records []batch.Record
	for i, v := range values {
		records = append(records, batch.Record{Offset: int64(i), Timestamp: timestamp, Value: []byte(v)})
	}
	a.flush(produced{id: p0, records: len(values), timestamp: timestamp, data: batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records)})
}

// kinds are the archive's files: hour, kind, folder, rows.
func (a *agent) kinds() (all []string) {
	for _, f := range a.files() {
		folder, _, _ := strings.Cut(strings.TrimPrefix(f.Object, archive.Prefix), "/date=")
		all = append(all, fmt.Sprintf("%d %s %s %d", f.Hour, f.Value, folder, f.Rows))
	}
	slices.Sort(all)
	return all
}

// What can't be typed goes beside, in the same append, and keeps nothing from coming after it; the
// archive's retention and the collector know it as any object. A schema may change between two jobs.
func TestArchive_Typed(t *testing.T) {
	w := newWorld(t)
	lose := false
	a := w.agent(func(_ *Config, f *faults) { f.onRows = func() (bool, error) { l := lose; lose = false; return l, nil } })
	policy := archived
	policy.Archive.Schema, policy.Archive.Retention = "n int64", 24*time.Hour
	a.open(1, 1, policy)
	now := w.clock().UnixMilli()
	old := now - 25*3_600_000
	oldHour, nowHour := time.UnixMilli(old).UTC().Hour(), time.UnixMilli(now).UTC().Hour()
	a.flushValues(old, `{"n": 1}`, `{"n": "x"}`, `no`, `{}`)
	a.flushValues(now, `{"n": 2}`, `{"n": 2, "n": 3}`)
	lose = true // the append stands, its answer is lost: nothing comes twice
	a.do("archive", a.Archive(t.Context(), 0))
	want := []string{
		fmt.Sprintf("%d binary flights 2", oldHour), fmt.Sprintf("%d dlq flights__dlq 2", oldHour),
		fmt.Sprintf("%d binary flights 1", nowHour), fmt.Sprintf("%d dlq flights__dlq 1", nowHour),
	}
	slices.Sort(want)
	if got := a.kinds(); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	if rows, dead := a.Stats.ArchiveRows.Load(), a.Stats.ArchiveDead.Load(); rows != 6 || dead != 3 {
		t.Fatalf("%d rows, %d of them dead", rows, dead)
	}
	if got, want := fmt.Sprint(a.archiveOf(p0)), fmt.Sprint(a.consumed(p0)); got != want {
		t.Fatalf("the archive holds %s, a consumer reads %s", got, want)
	}
	// Another schema: what was dead stays so, what comes is typed by the new one.
	policy.Archive.Schema = `n_text string from "n", m double`
	w.catalog.topics[1] = policy
	a.flushValues(now, `{"n": "x", "m": 1}`, `{"m": 1e999}`)
	a.do("archive", a.Archive(t.Context(), 0))
	if dead := a.Stats.ArchiveDead.Load(); len(a.files()) != 6 || dead != 4 {
		t.Fatalf("%q, %d dead", a.kinds(), dead)
	}
	// One that no agent would have taken stops the topic's archive until it is mended, and nothing is lost.
	policy.Archive.Schema = "n nothing"
	w.catalog.topics[1] = policy
	a.flushValues(now, `{"n": "y"}`)
	if err := a.Archive(t.Context(), 0); err == nil {
		t.Fatal("archived by no schema")
	}
	policy.Archive.Schema = ""
	w.catalog.topics[1] = policy
	a.do("archive", a.Archive(t.Context(), 0))
	if got, want := fmt.Sprint(a.archiveOf(p0)), fmt.Sprint(a.consumed(p0)); got != want {
		t.Fatalf("the archive holds %s, a consumer reads %s", got, want)
	}
	bill, err := Verify(t.Context(), a.deps)
	if err != nil || !bill.Agrees() || bill.Other.Objects != 0 || bill.Garbage.Objects != 0 {
		t.Fatalf("%+v, %v", bill, err)
	}
	a.do("expire", a.ExpireArchive(t.Context(), 0))
	w.pass(time.Hour)
	a.do("collect", a.Collect(t.Context()))
	for _, key := range w.bucket.keys(archive.Prefix) {
		if strings.Contains(key, fmt.Sprintf("hour=%02d", oldHour)) {
			t.Errorf("%s is left", key)
		}
	}
	if files, keys := len(a.files()), len(w.bucket.keys(archive.Prefix)); files != 5 || keys != files {
		t.Errorf("%q, %d objects", a.kinds(), keys)
	}
}
