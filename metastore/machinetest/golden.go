package machinetest

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Golden compares a text with a file of testdata.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
	}
}

// Golden holds the bytes of a history's entries and of the state after it, and what they mean.
func (k Kit[M]) Golden(t testing.TB, entries, snapshot string, history [][]byte) M {
	t.Helper()
	state, text := k.Tell(t, history, 0)
	Golden(t, entries, text)
	Golden(t, snapshot, hex.Dump(state.AppendSnapshot(nil))+"\n"+k.Words(t, state))
	return state
}
