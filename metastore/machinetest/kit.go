package machinetest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// Machine is a state machine that tells its state in words.
type Machine interface {
	metastore.Machine
	Dump(w io.Writer) error
}

// Kit is a kind of machine.
type Kit[M Machine] struct {
	New      func() M
	Describe func(kind metastore.EffectKind, body []byte) (string, error)
	// Headers has entries told with their headers, and whether they are void.
	Headers bool
	// Exact says that the fold refuses nothing that Describe takes.
	Exact bool
}

// Effects calls f with each effect of an entry.
func Effects(t testing.TB, entry []byte, f func(kind metastore.EffectKind, body []byte)) metastore.Header {
	t.Helper()
	h, effects, err := metastore.ParseEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	for {
		kind, body, ok, err := effects.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return h
		}
		f(kind, body)
	}
}

// Fold folds a history.
func (k Kit[M]) Fold(t testing.TB, history [][]byte) M {
	t.Helper()
	state := k.New()
	fold := metastore.NewFold(state)
	for i, e := range history {
		if _, err := fold.Apply(metastore.Version(i+1), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// Tell folds a history and tells its entries from one on, the first being 0: their bytes, their
// effects in words, and what came of them.
func (k Kit[M]) Tell(t testing.TB, history [][]byte, from int) (state M, text string) {
	t.Helper()
	state = k.New()
	fold := metastore.NewFold(state)
	var b bytes.Buffer
	for i, e := range history {
		if i == from {
			b.Reset()
		}
		var words bytes.Buffer
		h := Effects(t, e, func(kind metastore.EffectKind, body []byte) { fmt.Fprintln(&words, k.describe(t, kind, body)) })
		res, err := fold.Apply(metastore.Version(i+1), e, func(metastore.Header) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "entry %d\n%s", i+1, hex.Dump(e))
		if k.Headers {
			fmt.Fprintf(&b, "term=%d number=%d time=%d\n%svoid=%t outcomes=%v\n\n", h.Term, h.Number, h.Time, &words, res.Void, res.Outcomes)
		} else {
			fmt.Fprintf(&b, "%soutcomes=%v\n\n", &words, res.Outcomes)
		}
		k.Restored(t, state)
	}
	return state, b.String()
}

func (k Kit[M]) describe(t testing.TB, kind metastore.EffectKind, body []byte) string {
	t.Helper()
	if kind == metastore.EffectTermEnded {
		return kind.String()
	}
	words, err := k.Describe(kind, body)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// Words tells a state.
func (k Kit[M]) Words(t testing.TB, state M) string {
	t.Helper()
	var b bytes.Buffer
	if err := state.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Restored is what comes of a state's snapshot, which must be that state.
func (k Kit[M]) Restored(t testing.TB, state M) M {
	t.Helper()
	snapshot := state.AppendSnapshot(nil)
	restored := k.New()
	if err := restored.Restore(snapshot); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(restored.AppendSnapshot(nil), snapshot) || k.Words(t, restored) != k.Words(t, state) {
		t.Errorf("the restored state is another:\n%swant\n%s", k.Words(t, restored), k.Words(t, state))
	}
	return restored
}
