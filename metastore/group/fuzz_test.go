package group

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// memoryFactorMax is how many bytes of memory a byte of input may ask for.
const memoryFactorMax = 200

func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzApply(f *testing.F) {
	base := New()
	fold := metastore.NewFold(base)
	for i, e := range append(goldenEntries(), consumerEntries()...) {
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
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			f.Fatal(err)
		}
	}
	for _, e := range migrationEntries() {
		_, effects, _ := metastore.ParseEntry(e)
		for kind, body, ok, _ := effects.Next(); ok; kind, body, ok, _ = effects.Next() {
			f.Add(uint64(kind), body)
		}
	}
	for i, e := range transactionEntries() {
		_, effects, _ := metastore.ParseEntry(e)
		at := metastore.At{Version: 13 + metastore.Version(i), Header: metastore.Header{Time: 1}}
		for kind, body, ok, _ := effects.Next(); ok; kind, body, ok, _ = effects.Next() {
			f.Add(uint64(kind), body)
			if _, err := base.Apply(at, kind, body, false); err != nil {
				f.Fatal(err)
			}
		}
	}
	before := base.AppendSnapshot(nil)
	f.Fuzz(func(t *testing.T, kind uint64, body []byte) {
		s := New()
		if err := s.Restore(before); err != nil {
			t.Fatal(err)
		}
		var err error
		at := metastore.At{Version: 20, Header: metastore.Header{Term: 1, Number: 20, Time: 20_000}}
		allocated := bytesAllocated(func() { _, err = s.Apply(at, metastore.EffectKind(kind), body, true) })
		if limit := uint64(64<<10 + memoryFactorMax*len(body)); allocated > limit {
			t.Errorf("%d bytes took %d bytes of memory", len(body), allocated)
		}
		if _, describeErr := Describe(metastore.EffectKind(kind), body); (err == nil) != (describeErr == nil) {
			t.Errorf("folded: %v, described: %v", err, describeErr)
		}
		if err != nil {
			return
		}
		after := s.AppendSnapshot(nil)
		restored := New()
		if err := restored.Restore(after); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(restored.AppendSnapshot(nil), after) {
			t.Error("the restored state is another")
		}
	})
}

func FuzzRestore(f *testing.F) {
	s := New()
	fold := metastore.NewFold(s)
	for i, e := range append(goldenEntries(), consumerEntries()...) {
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(s.AppendSnapshot(nil))
	}
	s = New()
	fold = metastore.NewFold(s)
	for i, e := range migrationEntries() {
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(s.AppendSnapshot(nil))
	}
	s = New()
	fold = metastore.NewFold(s)
	for i, e := range transactionEntries() {
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(s.AppendSnapshot(nil))
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
