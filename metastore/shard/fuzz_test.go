package shard

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/wadi-io/wadi/metastore"
)

// bytesAllocated returns what f allocates, freed or not.
func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The memory that an input may ask for: a factor of its size, and what one opening may
// take, which is each partition and two pointers to it.
const (
	memoryFactorMax = 200
	memoryBytesMax  = partitionsMax*int(unsafe.Sizeof(partition{})+2*unsafe.Sizeof(&partition{})) + 16<<20
)

// FuzzApply folds any effects onto a state; what it comes to can be taken up from a snapshot.
func FuzzApply(f *testing.F) {
	for _, e := range slices.Concat(goldenEntries(), goldenTransactions()) {
		_, effects, err := metastore.ParseEntry(e)
		for err == nil {
			var kind metastore.EffectKind
			var body []byte
			var ok bool
			if kind, body, ok, err = effects.Next(); !ok {
				break
			}
			f.Add(uint64(kind), body)
		}
	}
	snapshot := func(s *State) []byte { return s.AppendSnapshot(nil) }
	base := New()
	fold := metastore.NewFold(base)
	for i, e := range goldenTransactions()[:3] {
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			f.Fatal(err)
		}
	}
	before := snapshot(base)
	f.Fuzz(func(t *testing.T, kind uint64, body []byte) {
		s := New()
		if err := s.Restore(before); err != nil {
			t.Fatal(err)
		}
		at := metastore.At{Version: 4, Header: metastore.Header{Term: 3, Number: 1, Time: 1_700_000_000_000}}
		var err error
		allocated := bytesAllocated(func() {
			_, err = s.Apply(at, metastore.EffectKind(kind), body, true)
		})
		if limit := uint64(memoryBytesMax + memoryFactorMax*len(body)); allocated > limit {
			t.Errorf("%d bytes took %d bytes of memory", len(body), allocated)
		}
		if _, describeErr := Describe(metastore.EffectKind(kind), body); err == nil && describeErr != nil {
			t.Errorf("folded, but not described: %v", describeErr)
		}
		if err != nil {
			return
		}
		after := snapshot(s)
		restored := New()
		if err := restored.Restore(after); err != nil {
			t.Fatalf("restore: %v", err)
		}
		if !bytes.Equal(snapshot(restored), after) {
			t.Error("the restored state is another")
		}
	})
}

// FuzzFlush decodes any flush, and encodes what it read.
func FuzzFlush(f *testing.F) {
	_, effects, err := metastore.ParseEntry(goldenEntries()[1])
	if err != nil {
		f.Fatal(err)
	}
	_, body, _, _ := effects.Next()
	f.Add(body)
	_, effects, err = metastore.ParseEntry(goldenTransactions()[1])
	if err != nil {
		f.Fatal(err)
	}
	_, body, _, _ = effects.Next()
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		d := metastore.Decoder{Rest: body}
		r := readFlush(&d)
		var batches []FlushBatch
		for range r.count {
			if r.next() != nil {
				return
			}
			batches = append(batches, r.batch)
		}
		if atEnd(&d) != nil {
			return
		}
		number, again := decodeFlush(t, AppendFlush(nil, r.segment, batches))
		if number != r.segment || len(again) != len(batches) {
			t.Fatal("another flush")
		}
		for i := range again {
			if again[i] != batches[i] {
				t.Fatalf("%+v became %+v", batches[i], again[i])
			}
		}
	})
}

// FuzzRestore takes any bytes for a snapshot; one that is taken has one coding.
func FuzzRestore(f *testing.F) {
	for _, history := range [][][]byte{goldenEntries(), goldenTransactions()} {
		for i := range history {
			s := New()
			fold := metastore.NewFold(s)
			for v, e := range history[:i+1] {
				if _, err := fold.Apply(metastore.Version(v+1), e, nil); err != nil {
					f.Fatal(err)
				}
			}
			f.Add(s.AppendSnapshot(nil))
		}
	}
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		s := New()
		var err error
		allocated := bytesAllocated(func() { err = s.Restore(snapshot) })
		if limit := uint64(64<<10 + memoryFactorMax*len(snapshot)); allocated > limit {
			t.Errorf("%d bytes took %d bytes of memory", len(snapshot), allocated)
		}
		if err != nil {
			return
		}
		for _, p := range s.Partitions() {
			start, end, _, _ := s.Bounds(p)
			s.Aborted(p, start, end, nil)
			s.OpenTransactions(p, 10)
			s.Plan(p, start, 1<<20, nil)
			s.FirstSince(p, 0)
			s.FirstSinceFrom(p, end-1, 0)
			s.MaxTimestamp(p)
		}
		first := s.AppendSnapshot(nil)
		again := New()
		if err := again.Restore(first); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again.AppendSnapshot(nil)) {
			t.Error("the restored state is another")
		}
	})
}
