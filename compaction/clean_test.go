package compaction

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

var compacted = Policy{Retention: -1, RetentionBytes: -1, Compact: true, DeleteRetention: time.Hour, MaxLag: -1}

// kv is a record of the test's: "key=value", "key" a tombstone, "=value" without a key.
func kv(offset int64, timestamp int64, text string) batch.Record {
	key, value, ok := strings.Cut(text, "=")
	r := batch.Record{Offset: offset, Timestamp: timestamp, Headers: []batch.RecordHeader{{Key: []byte("h"), Value: []byte(text)}}}
	if key != "" {
		r.Key = []byte(key)
	}
	if ok {
		r.Value = []byte(value)
	}
	return r
}

// keyed is a batch of such records.
func (a *agent) keyed(id shard.PartitionID, codec batch.Codec, transaction uint64, producer int64, texts ...string) produced {
	a.w.t.Helper()
	now := a.w.clock().UnixMilli()
	var records []batch.Record
	for i, text := range texts {
		records = append(records, kv(int64(i), now-int64(len(texts)-i), text))
	}
	p := produced{id: id, records: len(texts), timestamp: now - 1, transaction: transaction, producer: producer}
	h := batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	if transaction != 0 {
		h = batch.Header{ProducerID: producer, ProducerEpoch: int16(transaction), Attributes: 1 << 4}
	}
	p.data = batch.Append(nil, h, records)
	if codec != batch.None {
		level := map[batch.Codec]int{batch.Gzip: -1, batch.LZ4: 9, batch.Zstd: 3}[codec]
		var err error
		if p.data, err = batch.Recompress(p.data, codec, level, 1<<20); err != nil {
			a.w.t.Fatal(err)
		}
	}
	return p
}

func (a *agent) end(id shard.PartitionID, transaction uint64, producer int64, commit bool) {
	a.w.t.Helper()
	a.append(0, shard.AppendMarker(nil, shard.Marker{
		Producer: producer, Transaction: transaction, Epoch: int16(transaction), Commit: commit,
		Timestamp: a.w.clock().UnixMilli(), Partitions: []shard.PartitionID{id},
	}))
}

// clean goes on until there is nothing to clean.
func (a *agent) clean() {
	a.w.t.Helper()
	for range 10_000 {
		a.refresh()
		a.do("clean", a.Clean(a.w.t.Context(), 0))
		if a.pass != nil {
			continue
		}
		next, err := a.filthiest(a.w.t.Context(), 0)
		a.do("measure", err)
		if next == nil {
			return
		}
	}
	a.w.t.Fatal("it never ends")
}

// stored tells what a partition holds: "offset:key=value" of each record, "M" of markers, and
// "e" of batches without records, "*" before the records of aborted transactions.
func (a *agent) stored(id shard.PartitionID) []string {
	a.w.t.Helper()
	h := a.readPartition(id)
	var out []string
	for _, b := range h.batches {
		bh, err := batch.Verify(b.body)
		if err != nil {
			a.w.t.Fatal(err)
		}
		if bh.Control() {
			out = append(out, fmt.Sprintf("%d:M", b.base))
			continue
		}
		if bh.Records == 0 {
			out = append(out, fmt.Sprintf("%d-%d:e", b.base, b.end-1))
		}
		for r, err := range batch.Records(b.body, 1<<20) {
			if err != nil {
				a.w.t.Fatal(err)
			}
			text := string(r.Key)
			if r.Value != nil {
				text += "=" + string(r.Value)
			}
			if string(r.Headers[0].Value) != text {
				a.w.t.Fatalf("offset %d: %q with the header of %q", r.Offset, text, r.Headers[0].Value)
			}
			aborted := ""
			if bh.Transactional() && strings.Contains(" "+h.aborted, fmt.Sprintf(" %d:", bh.ProducerID)) {
				aborted = "*"
			}
			out = append(out, fmt.Sprintf("%s%d:%s@%d", aborted, r.Offset, text, r.Timestamp))
		}
	}
	return out
}

// brief is stored without timestamps.
func (a *agent) brief(id shard.PartitionID) string {
	a.w.t.Helper()
	out := a.stored(id)
	for i, s := range out {
		out[i], _, _ = strings.Cut(s, "@")
	}
	return strings.Join(out, " ")
}

func (a *agent) wantStored(id shard.PartitionID, when, want string) {
	a.w.t.Helper()
	if got := a.brief(id); got != want {
		a.w.t.Errorf("%s:\n got %s\nwant %s", when, got, want)
	}
}

func (a *agent) merge() {
	a.w.t.Helper()
	a.refresh()
	a.do("merge", a.Merge(a.w.t.Context(), 0))
}

var cleanedPartition = shard.PartitionID{Topic: 1, Index: 0}

func TestClean_Rules(t *testing.T) {
	id := cleanedPartition
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, compacted)

	a.flush(a.keyed(id, batch.Zstd, 0, 0, "a=1", "b=1", "=keyless", "c=1"))
	a.flush(a.keyed(id, batch.None, 0, 0, "a=2", "c"))
	a.merge()
	a.flush(a.keyed(id, batch.None, 0, 0, "b=2")) // the head is not cleaned
	a.clean()
	a.wantStored(id, "older values and what has no key goes", "1:b=1 4:a=2 5:c 6:b=2")

	a.merge()
	a.clean()
	a.wantStored(id, "what is merged is cleaned", "4:a=2 5:c 6:b=2")

	w.pass(2 * time.Hour)
	a.flush(a.keyed(id, batch.None, 0, 0, "b=3"))
	a.merge()
	a.clean()
	a.wantStored(id, "tombstones go once their horizon has passed", "4:a=2 7:b=3")

	a.flush(a.keyed(id, batch.None, 9, 5, "a=9", "x=9"))
	a.end(id, 9, 5, false)
	a.flush(a.keyed(id, batch.LZ4, 10, 6, "a=3"))
	a.end(id, 10, 6, true)
	a.flush(a.keyed(id, batch.None, 0, 0, "y=1"))
	a.merge()
	a.wantStored(id, "aborted records before", "4:a=2 7:b=3 *8:a=9 *9:x=9 10:M 11:a=3 12:M 13:y=1")
	a.clean()
	a.wantStored(id, "aborted records count for nothing and go", "7:b=3 10:M 11:a=3 12:M 13:y=1")
	if h := a.readPartition(id); h.aborted != "" {
		t.Errorf("aborted transactions that have no records any more: %s", h.aborted)
	}

	a.flush(a.keyed(id, batch.None, 0, 0, "y=2"))
	a.merge()
	a.clean() // the abort's marker gets its horizon
	w.pass(2 * time.Hour)
	a.flush(a.keyed(id, batch.None, 0, 0, "y=3"))
	a.merge()
	a.clean()
	a.wantStored(id, "a marker goes when its records are gone, later than tombstones", "7:b=3 11:a=3 12:M 15:y=3")
}

// The last batch of what is cleaned stays, without records if need be.
func TestClean_NoReaderIsLeftBeforeAHole(t *testing.T) {
	id := cleanedPartition
	w := newWorld(t)
	a := w.agent()
	a.open(1, 1, compacted)
	a.flush(a.keyed(id, batch.None, 0, 0, "a=1"))
	a.flush(a.keyed(id, batch.Snappy, 0, 0, "=no key", "=none"))
	a.merge()
	a.clean()
	a.wantStored(id, "cleaned", "0:a=1 1-2:e")
	a.flush(a.keyed(id, batch.None, 0, 0, "b=1"))
	a.merge()
	a.clean()
	a.wantStored(id, "where more follows in its row it goes", "0:a=1 3:b=1")
}

func TestClean_When(t *testing.T) {
	id := cleanedPartition
	for name, row := range map[string]struct {
		change func(*Policy)
		after  time.Duration
		cleans bool
	}{
		"all is dirty":              {func(p *Policy) { p.DirtyRatio = 0.5 }, 0, true},
		"below the ratio":           {func(p *Policy) { p.DirtyRatio = 1 }, 0, false},
		"not compacted":             {func(p *Policy) { p.Compact = false }, 0, false},
		"too young":                 {func(p *Policy) { p.MinLag = time.Minute }, 0, false},
		"old enough":                {func(p *Policy) { p.MinLag = time.Minute }, 2 * time.Minute, true},
		"not old enough for a must": {func(p *Policy) { p.DirtyRatio, p.MaxLag = 1, time.Hour }, time.Minute, false},
		"so old that it must":       {func(p *Policy) { p.DirtyRatio, p.MaxLag = 1, time.Hour }, 2 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.agent()
			policy := compacted
			row.change(&policy)
			a.open(1, 1, policy)
			a.flush(a.keyed(id, batch.None, 0, 0, "a=1", "a=2"))
			a.merge()
			w.pass(row.after)
			a.clean()
			want := "0:a=1 1:a=2"
			if row.cleans {
				want = "1:a=2"
			}
			a.wantStored(id, "then", want)
			if got := a.Stats.Cleanings.Load() == 1; got != row.cleans {
				t.Errorf("%d passes", a.Stats.Cleanings.Load())
			}
		})
	}
}

// For random histories, with transactions, tombstones, several passes of a tiny map, jobs
// of a few batches, and merges in between, what is left is what a naive model leaves.
func TestClean_Model(t *testing.T) {
	type record struct {
		offset, timestamp int64
		text              string
		aborted           bool
		cleaned           time.Time // when first
		gone              bool
	}
	id := cleanedPartition
	passes := int64(0)
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			w := newWorld(t)
			a := w.agent(func(c *Config, _ *faults) {
				c.KeyMapBytesMax = KeyMapBytesMin
				c.JobBytesMax = 200 + rnd.Int64N(4000)
				c.Fan = 2 + rnd.IntN(3)
			})
			a.open(1, 1, compacted)
			var log []*record
			next := int64(0)
			transaction := uint64(0)
			for range 6 {
				for range 1 + rnd.IntN(12) {
					var texts []string
					for range 1 + rnd.IntN(6) {
						key := fmt.Sprintf("k%d", rnd.IntN(40))
						switch rnd.IntN(12) {
						case 0:
							key = "=nothing"
						case 1, 2: // a tombstone
						default:
							key += fmt.Sprintf("=%d", rnd.IntN(1000))
						}
						texts = append(texts, key)
					}
					x, producer, commit := uint64(0), int64(0), true
					if rnd.IntN(3) == 0 {
						transaction++
						x, producer, commit = transaction, int64(100+transaction), rnd.IntN(2) == 0
					}
					p := a.keyed(id, batch.Codec(rnd.IntN(5)), x, producer, texts...)
					a.flush(p)
					for i, text := range texts {
						log = append(log, &record{offset: next, text: text, aborted: !commit, timestamp: w.clock().UnixMilli() - int64(len(texts)-i)})
						next++
					}
					if x != 0 {
						a.end(id, x, producer, commit)
						next++
					}
					w.pass(time.Second)
				}
				a.merge()
				a.clean()
				newest := map[string]int64{}
				key := func(r *record) string { k, _, _ := strings.Cut(r.text, "="); return k }
				for _, r := range log {
					if !r.aborted {
						newest[key(r)] = r.offset
					}
				}
				now := w.clock()
				var want []string
				for _, r := range log {
					tombstone := !strings.Contains(r.text, "=")
					switch {
					case r.aborted, key(r) == "", newest[key(r)] > r.offset:
						r.gone = true
					case r.cleaned.IsZero():
						r.cleaned = now
					case tombstone && !now.Before(r.cleaned.Add(compacted.DeleteRetention)):
						r.gone = true
					}
					if !r.gone {
						want = append(want, fmt.Sprintf("%d:%s@%d", r.offset, r.text, r.timestamp))
					}
				}
				var got []string
				for _, s := range a.stored(id) {
					if !strings.HasSuffix(s, ":M") && !strings.HasSuffix(s, ":e") {
						got = append(got, s)
					}
				}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Fatalf("left\n%s\nwant\n%s", got, want)
				}
				w.pass(time.Duration(rnd.IntN(50)) * time.Minute)
			}
			passes += a.Stats.Cleanings.Load()
		})
	}
	if passes < 60*6*3/2 {
		t.Errorf("%d passes: the map was not too small", passes)
	}
}

// Batches that lose nothing keep their bytes; rows that lose nothing are not written again.
func TestClean_UntouchedBytes(t *testing.T) {
	id := cleanedPartition
	w := newWorld(t)
	a := w.agent(func(c *Config, _ *faults) { c.JobBytesMax, c.Fan = 200, 1000 })
	a.open(1, 1, compacted)
	for i := range 6 {
		a.flush(a.keyed(id, batch.Gzip, 0, 0, fmt.Sprintf("k%d=%d", i, i), fmt.Sprintf("l%d=%d", i, i)))
		a.merge()
	}
	before := a.readPartition(id)
	a.clean()
	a.wantSame(id, before, "a cleaning without anything to clean")
	written := a.Stats.BytesWritten.Load()
	a.flush(a.keyed(id, batch.None, 0, 0, "k5=new"))
	a.merge()
	a.clean()
	after := a.readPartition(id)
	for i := range 5 {
		if !bytes.Equal(before.batches[i].body, after.batches[i].body) {
			t.Errorf("batch %d has other bytes", i)
		}
	}
	if got := a.Stats.BytesWritten.Load() - written; got > 3000 {
		t.Errorf("%d bytes written for one record", got)
	}
}

// At every step that fails, nothing is lost, and a later pass ends it.
func TestClean_Faults(t *testing.T) {
	id := cleanedPartition
	for name, row := range map[string]struct {
		fault func(w *world, f *faults) (heal func())
		fails bool
	}{
		"put refused": {func(w *world, _ *faults) func() {
			w.bucket.onPut = func(string, []byte) ([]byte, error) { return nil, errors.New("503") }
			return func() { w.bucket.onPut = nil }
		}, true},
		"output damaged": {func(w *world, _ *faults) func() {
			w.bucket.onPut = func(_ string, b []byte) ([]byte, error) { b[len(b)/2] ^= 1; return b, nil }
			return func() { w.bucket.onPut = nil }
		}, true},
		"swap refused": {func(_ *world, f *faults) func() {
			f.onRows = func() (bool, error) { return false, metastore.ErrRowsTaken }
			return func() { f.onRows = nil }
		}, false},
		"the second swap refused": {func(_ *world, f *faults) func() {
			n := 0
			f.onRows = func() (bool, error) {
				if n++; n > 1 {
					return false, metastore.ErrRowsTaken
				}
				return false, nil
			}
			return func() { f.onRows = nil }
		}, false},
		"swap's reply lost": {func(_ *world, f *faults) func() {
			once := true
			f.onRows = func() (bool, error) {
				lose := once
				once = false
				return lose, nil
			}
			return func() { f.onRows = nil }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var f *faults
			a := w.agent(func(c *Config, store *faults) { f, c.JobBytesMax = store, 100 })
			a.open(1, 1, compacted)
			for _, v := range []string{"a=1", "b=1", "a=2", "b"} {
				a.flush(a.keyed(id, batch.None, 0, 0, v))
				a.merge()
			}
			heal := row.fault(w, f)
			err := a.Clean(t.Context(), 0)
			heal()
			if (err != nil) != row.fails {
				t.Fatalf("Clean: %v", err)
			}
			a.refresh()
			if got := a.brief(id); !strings.HasSuffix(got, "2:a=2 3:b") {
				t.Fatalf("the newest is gone: %s", got)
			}
			a.looks = map[shard.PartitionID]look{}
			a.clean()
			if got := strings.ReplaceAll(a.brief(id), "1-1:e ", ""); got != "2:a=2 3:b" && got != "0-0:e 2:a=2 3:b" {
				t.Errorf("in the end: %s", got)
			}
		})
	}
}

// Of two agents that clean the same rows one wins each swap, and both go on.
func TestClean_TwoAgents(t *testing.T) {
	id := cleanedPartition
	w := newWorld(t)
	change := func(c *Config, _ *faults) { c.JobBytesMax = 100 }
	a, b := w.agent(change), w.agent(change)
	a.open(1, 1, compacted)
	for i := range 12 {
		a.flush(a.keyed(id, batch.None, 0, 0, fmt.Sprintf("k%d=%d", i%3, i)))
		a.merge()
	}
	b.refresh()
	for range 40 {
		for _, one := range []*agent{a, b} {
			one.refresh()
			if one.pass == nil {
				var err error
				one.pass, err = one.filthiest(t.Context(), 0)
				one.do("measure", err)
			}
			if one.pass == nil {
				continue
			}
			done, err := one.step(t.Context(), one.pass)
			one.do("step", err)
			if done {
				one.pass = nil
			}
		}
	}
	a.clean()
	var records []string
	for _, s := range strings.Fields(a.brief(id)) {
		if !strings.HasSuffix(s, ":e") {
			records = append(records, s)
		}
	}
	if got := strings.Join(records, " "); got != "9:k0=9 10:k1=10 11:k2=11" {
		t.Errorf("left: %s", got)
	}
}

// A batch that decompresses to more than is allowed, or whose keys don't fit, stops its
// partition's key compaction; merging and the other partitions go on.
func TestClean_Stops(t *testing.T) {
	other := shard.PartitionID{Topic: 1, Index: 1}
	for name, change := range map[string]func(*Config, *faults){
		"a bomb":        func(c *Config, _ *faults) { c.CleanBytesMax = 5000 },
		"too many keys": func(c *Config, _ *faults) { c.KeyMapBytesMax = KeyMapBytesMin },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.agent(change)
			a.open(1, 2, compacted)
			var many []string
			for i := range 400 {
				many = append(many, fmt.Sprintf("key %d=%d", i, i))
			}
			a.flush(a.keyed(cleanedPartition, batch.Zstd, 0, 0, many...), a.keyed(other, batch.None, 0, 0, "a=1", "a=2"))
			a.merge()
			before := a.readPartition(cleanedPartition)
			a.clean()
			a.wantSame(cleanedPartition, before, "stopped")
			if a.Uncleanable(cleanedPartition) == nil || a.Stats.Uncleanable.Load() != 1 || a.Stopped(cleanedPartition) != nil {
				t.Error("it has not stopped")
			}
			a.wantStored(other, "the other partition", "1:a=2")
		})
	}
}

// What is cleaned isn't merged with what isn't, so that it needn't be cleaned anew.
func TestPlanAgain_CompactedApart(t *testing.T) {
	var rows []metastore.ExtentRow
	for i := range 6 {
		x := segment.Index{Compacted: i < 3}
		rows = append(rows, metastore.ExtentRow{Base: int64(i), End: int64(i) + 1, Length: 500, Index: segment.AppendIndex(nil, 0, &x)})
	}
	if got := planAgain(rows, 4); got != nil {
		t.Errorf("%d rows of both kinds", len(got))
	}
	if got := planAgain(rows, 3); len(got) != 3 || got[0].Base != 0 {
		t.Errorf("%v", got)
	}
}

func TestKeyMap(t *testing.T) {
	m := newKeyMap(1 << 20)
	n := 0
	for ; m.room(1); n++ {
		m.put(fmt.Appendf(nil, "key %d", n), int64(n))
		m.put(fmt.Appendf(nil, "key %d", n/2), int64(n/2)) // lower: it stays
	}
	if n < 20_000 || len(m.slots)*keySlotBytes > 1<<20*2/3 {
		t.Errorf("%d keys in %d slots", n, len(m.slots))
	}
	for i := range n {
		if got := m.offset(fmt.Appendf(nil, "key %d", i)); got != int64(i) {
			t.Fatalf("key %d is at %d", i, got)
		}
	}
	if m.offset([]byte("another")) != -1 {
		t.Error("a key that isn't there")
	}
}

// The archive has every record: none goes before it is archived.
func TestClean_WaitsForTheArchive(t *testing.T) {
	id := cleanedPartition
	w := newWorld(t)
	a := w.agent()
	policy := compacted
	policy.Archive = archived.Archive
	a.open(1, 1, policy)
	a.flush(a.keyed(id, batch.None, 0, 0, "a=1", "b=1", "a=2"))
	a.merge()
	a.clean()
	a.wantStored(id, "nothing is archived", "0:a=1 1:b=1 2:a=2")
	a.append(0, shard.AppendArchived(nil, shard.Archived{Partition: id, Expected: 0, To: 3}))
	w.pass(2 * lookAgain)
	a.clean()
	a.wantStored(id, "all is archived", "1:b=1 2:a=2")
}
