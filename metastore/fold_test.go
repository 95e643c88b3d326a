package metastore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// tally is a machine that keeps what it was told, in order.
type tally struct{ said []string }

const effectSay = metastore.EffectKind(200)

func (t *tally) Apply(_ metastore.At, kind metastore.EffectKind, body []byte, _ bool) (any, error) {
	if kind != effectSay {
		return nil, fmt.Errorf("unknown effect %v", kind)
	}
	t.said = append(t.said, string(body))
	return len(t.said), nil
}

func (t *tally) AppendSnapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.said)))
	for _, s := range t.said {
		dst = metastore.AppendBytes(dst, s)
	}
	return dst
}

func (t *tally) Restore(b []byte) error {
	d := metastore.Decoder{Rest: b}
	t.said = nil
	for range d.Count(1) {
		t.said = append(t.said, d.String())
	}
	return d.Err
}

func entry(term metastore.Term, number uint64, effects []byte) []byte {
	return append(metastore.AppendHeader(nil, metastore.Header{Term: term, Number: number, Time: 1700000000000}), effects...)
}

func say(s string) []byte { return metastore.AppendEffect(nil, effectSay, []byte(s)) }

func all(metastore.Header) bool { return true }

func TestFold_NumbersOfATerm(t *testing.T) {
	for _, row := range []struct {
		name    string
		entries [][]byte
		said    string
		stops   bool
	}{
		{"in order", [][]byte{entry(1, 1, say("a")), entry(1, 2, say("b"))}, "[a b]", false},
		{"a repeat is void", [][]byte{entry(1, 1, say("a")), entry(1, 1, say("a")), entry(1, 2, say("b"))}, "[a b]", false},
		{"a late repeat is void", [][]byte{entry(1, 1, say("a")), entry(1, 2, say("b")), entry(1, 1, say("a"))}, "[a b]", false},
		{"terms count apart", [][]byte{entry(1, 1, say("a")), entry(2, 1, say("b")), entry(1, 2, say("c"))}, "[a b c]", false},
		{"a number left out stops it", [][]byte{entry(1, 1, say("a")), entry(1, 3, say("c"))}, "[a]", true},
		{"an unknown effect stops it", [][]byte{entry(1, 1, metastore.AppendEffect(nil, 201, nil))}, "[]", true},
		{"an ended term is forgotten", [][]byte{entry(1, 1, say("a")), entry(2, 1, metastore.AppendTermEnded(nil, 1)), entry(2, 2, say("b"))}, "[a b]", false},
		{"no term ends itself", [][]byte{entry(1, 1, metastore.AppendTermEnded(nil, 1))}, "[]", true},
		{"another format stops it", [][]byte{{9, 1, 1, 0}}, "[]", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := &tally{}
			f := metastore.NewFold(m)
			var err error
			for i, e := range row.entries {
				if _, err = f.Apply(metastore.Version(i+1), e, nil); err != nil {
					break
				}
			}
			if got := fmt.Sprint(m.said); got != row.said {
				t.Errorf("said %s, want %s", got, row.said)
			}
			if stopped := errors.Is(err, metastore.ErrStopped); stopped != row.stops {
				t.Errorf("err = %v, want stop %v", err, row.stops)
			}
		})
	}
}

func TestFold_SnapshotsAreEqualFromAnyReplica(t *testing.T) {
	var entries [][]byte
	for i := range 40 {
		entries = append(entries, entry(metastore.Term(i%3+1), uint64(i/3+1), say(fmt.Sprint(i))))
	}
	entries[20] = entry(3, 7, metastore.AppendSnapshotMark(nil))
	whole := metastore.NewFold(&tally{})
	var snapshots [][]byte
	for i, e := range entries {
		if _, err := whole.Apply(metastore.Version(i+1), e, nil); err != nil {
			t.Fatal(err)
		}
		snapshots = append(snapshots, whole.AppendSnapshot(nil))
	}
	for from := range entries {
		f := metastore.NewFold(&tally{})
		if err := f.Restore(metastore.Version(from+1), snapshots[from]); err != nil {
			t.Fatal(err)
		}
		for i := from + 1; i < len(entries); i++ {
			if _, err := f.Apply(metastore.Version(i+1), entries[i], nil); err != nil {
				t.Fatal(err)
			}
			if string(f.AppendSnapshot(nil)) != string(snapshots[i]) {
				t.Fatalf("restored at %d, the snapshot at %d differs", from+1, i+1)
			}
		}
	}
}

func TestFold_AnotherHashStopsTheReplica(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil byte
		stops bool
	}{{"the same hash", 0, false}, {"another hash", 1, true}} {
		t.Run(row.name, func(t *testing.T) {
			f := metastore.NewFold(&tally{})
			res, err := f.Apply(1, entry(1, 1, append(say("a"), metastore.AppendSnapshotMark(nil)...)), all)
			if err != nil {
				t.Fatal(err)
			}
			hash := metastore.SnapshotHash(res.Snapshot)
			hash[0] ^= row.spoil
			_, err = f.Apply(2, entry(1, 2, metastore.AppendSnapshotHash(nil, 1, hash)), nil)
			if stopped := errors.Is(err, metastore.ErrStopped); stopped != row.stops {
				t.Errorf("err = %v, want stop %v", err, row.stops)
			}
			restored := metastore.NewFold(&tally{})
			if err := restored.Restore(1, res.Snapshot); err != nil {
				t.Fatal(err)
			}
			_, err = restored.Apply(2, entry(1, 2, metastore.AppendSnapshotHash(nil, 1, hash)), nil)
			if stopped := errors.Is(err, metastore.ErrStopped); stopped != row.stops {
				t.Errorf("restored: err = %v, want stop %v", err, row.stops)
			}
		})
	}
}

func FuzzFold(f *testing.F) {
	f.Add(entry(1, 1, say("a")))
	f.Add(entry(1, 1, metastore.AppendSnapshotMark(nil)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		fold := metastore.NewFold(&tally{})
		fold.Apply(1, payload, all)
	})
}
