package group

import (
	"bytes"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// takenEntries are of two terms, of which the second takes the groups over.
func takenEntries() [][]byte {
	var entries [][]byte
	numbers := map[metastore.Term]uint64{}
	for i, e := range []struct {
		term    metastore.Term
		effects [][]byte
	}{
		{1, [][]byte{AppendGeneration(nil, "orders", 0, generation(1, "a"))}},
		{1, [][]byte{commit("orders", 1, at(1, 0, 5)), commit("simple", 0, at(1, 0, 1))}},
		{2, [][]byte{AppendTaken(nil), commit("orders", 1, at(1, 0, 7))}},
		{1, [][]byte{commit("orders", 1, at(1, 0, 6)), commit("simple", 0, at(1, 0, 2)), pending("orders", 3, 1, at(1, 0, 6))}},
		{2, [][]byte{commit("simple", 0, at(1, 0, 3)), pending("orders", 4, 1, at(1, 1, 6))}},
	} {
		numbers[e.term]++
		h := metastore.Header{Term: e.term, Number: numbers[e.term], Time: int64(1000 * (i + 1))}
		entries = append(entries, append(metastore.AppendHeader(nil, h), bytes.Join(e.effects, nil)...))
	}
	return entries
}

func TestGolden_Taken(t *testing.T) {
	s := kit().Golden(t, "taken.txt", "taken_snapshot.txt", takenEntries())
	for group, want := range map[string]int64{"orders": 7, "simple": 3} {
		if o, _ := s.Offset(group, Place{1, 0}); o.Offset != want {
			t.Errorf("%s is at %d, want %d: of a term that had lost the groups", group, o.Offset, want)
		}
	}
	if s.Holder() != 2 {
		t.Errorf("taken by term %d", s.Holder())
	}
}
