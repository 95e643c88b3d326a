package machinetest

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// Memory is what an input may ask for, in bytes.
type Memory struct {
	Factor int // for a byte of it
	Bytes  int // beside
}

// DefaultBytes is enough for whatever is small.
const DefaultBytes = 64 << 10

// check runs f, and fails where it allocates more than an input of so many bytes may ask for, freed or not.
func (m Memory) check(t *testing.T, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(m.Bytes+m.Factor*size) {
		t.Errorf("%d bytes took %d bytes of memory", size, took)
	}
}

// AddEffects adds the effects of a history to what FuzzApply begins with.
func AddEffects(f *testing.F, history [][]byte) {
	f.Helper()
	for _, e := range history {
		Effects(f, e, func(kind metastore.EffectKind, body []byte) { f.Add(uint64(kind), body) })
	}
}

// FuzzApply folds any effect onto a state, given by its snapshot; what it comes to can be taken
// up from a snapshot.
func (k Kit[M]) FuzzApply(f *testing.F, before []byte, at metastore.At, memory Memory) {
	f.Fuzz(func(t *testing.T, number uint64, body []byte) {
		kind, s := metastore.EffectKind(number), k.New()
		if err := s.Restore(before); err != nil {
			t.Fatal(err)
		}
		var err error
		memory.check(t, len(body), func() { _, err = s.Apply(at, kind, body, true) })
		if _, describeErr := k.Describe(kind, body); err == nil && describeErr != nil || k.Exact && err != nil && describeErr == nil {
			t.Errorf("folded: %v, described: %v", err, describeErr)
		}
		if err == nil {
			k.sameAgain(t, s)
		}
	})
}

// FuzzRestore takes any bytes for a snapshot, first those of the states that histories go through; one that is taken has
// one coding. look reads such a state; nil: nothing does.
func (k Kit[M]) FuzzRestore(f *testing.F, memory Memory, look func(M), histories ...[][]byte) {
	f.Helper()
	for _, history := range histories {
		for i := range history {
			f.Add(k.Fold(f, history[:i+1]).AppendSnapshot(nil))
		}
	}
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		s := k.New()
		var err error
		memory.check(t, len(snapshot), func() { err = s.Restore(snapshot) })
		if err != nil {
			return
		}
		if look != nil {
			look(s)
		}
		k.sameAgain(t, s)
	})
}

// sameAgain is Restored without the words, which may be many.
func (k Kit[M]) sameAgain(t *testing.T, s M) {
	t.Helper()
	snapshot, again := s.AppendSnapshot(nil), k.New()
	if err := again.Restore(snapshot); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(again.AppendSnapshot(nil), snapshot) {
		t.Error("the restored state is another")
	}
}
