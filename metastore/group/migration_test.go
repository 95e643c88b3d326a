package group

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func classicMember(id string, epoch int32) *ConsumerMember {
	m := consumerMember(id, epoch)
	m.Classic = &ClassicMember{SessionTimeout: 45_000, Protocols: []ClassicProtocol{{Name: "range", Metadata: []byte("sub " + id)}, {Name: "sticky"}}}
	return m
}

// migrationEntries take a group from the classic protocol to the other one, and back.
func migrationEntries() [][]byte {
	left := change("both", 2, 3, classicMember("a", 3))
	left.Removed = []string{"gone"}
	back := generation(3, "a", "b")
	back.Leader = ""
	entries := [][][]byte{
		{AppendGeneration(nil, "both", 0, generation(1, "a", "b"))},
		{AppendConsumerMixed(nil, change("both", 1, 2, classicMember("a", 1), classicMember("b", 1), consumerMember("c", 2)))},
		{AppendConsumerMixed(nil, left), memberCommit("both", "a", 3, at(1, 0, 5)), AppendConsumerMixed(nil, left)},
		{AppendConsumerMixed(nil, change("other", 0, 1, consumerMember("x", 1), classicMember("y", 1)))},
		{AppendConsumerDowngraded(nil, "both", 3, back), AppendConsumerDowngraded(nil, "both", 5, back)},
	}
	joined := make([][]byte, len(entries))
	for i, effects := range entries {
		v := uint64(i + 1)
		h := metastore.Header{Term: 1, Number: v, Time: int64(1000 * v)}
		joined[i] = append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
	}
	return joined
}

func TestGolden_Migration(t *testing.T) {
	state, text := kit().Tell(t, migrationEntries(), 0)
	machinetest.Golden(t, "migration.txt", text+hex.Dump(state.AppendSnapshot(nil))+kit().Words(t, state))
	for i := range migrationEntries() {
		state := kit().Fold(t, migrationEntries()[:i+1])
		if restored := kit().Restored(t, state); !reflect.DeepEqual(restored, state) {
			t.Errorf("entry %d: restored %+v, want %+v", i+1, restored, state)
		}
	}
}

// TestMigration_Guards: either way only on what its writer saw, and commits follow.
func TestMigration_Guards(t *testing.T) {
	j := newJournal(t)
	o := at(1, 0, 1)
	both := func(expect metastore.Version) []byte {
		return AppendConsumerMixed(nil, change("g", expect, 2, classicMember("a", 1), consumerMember("c", 2)))
	}
	back := func(expect metastore.Version) []byte {
		return AppendConsumerDowngraded(nil, "g", expect, generation(2, "a"))
	}
	for _, row := range []struct {
		what    string
		effects [][]byte
		want    []any
	}{
		{"nothing to go back from", [][]byte{back(0), AppendGeneration(nil, "g", 0, generation(1, "a")), back(1)}, []any{false, true, false}},
		{"up, on another generation and on this one", [][]byte{both(9), both(1), both(1)}, []any{false, true, false}},
		{"commits of the generation, of both members", [][]byte{commit("g", 1, o), memberCommit("g", "a", 1, o), memberCommit("g", "c", 2, o), memberCommit("g", "c", 1, o)}, []any{false, true, true, false}},
		{"a generation of who saw only the classic group", [][]byte{AppendGeneration(nil, "g", 1, generation(2, "a")), AppendGeneration(nil, "g", 2, generation(2, "a"))}, []any{false, false}},
		{"back, on another change and on this one", [][]byte{back(1), back(2), back(2)}, []any{false, true, false}},
		{"commits of the member, of the generation", [][]byte{memberCommit("g", "a", 1, o), commit("g", 5, o), commit("g", 2, o)}, []any{false, true, false}},
	} {
		if got := j.append(row.effects...); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, want %v (version %d)", row.what, got, row.want, j.fold.Version())
		}
	}
	if g := j.state.Generation("g"); g.Number != 2 || g.Member("a") == nil || j.state.Consumer("g") != nil {
		t.Errorf("%+v", g)
	}
}

func TestMigration_RefusesWhatCantBeCoded(t *testing.T) {
	spoilt := classicMember("m", 1)
	spoilt.Classic.SessionTimeout = -1
	for name, code := range map[string]func(){
		"a classic member in a change of the others": func() { AppendConsumerChange(nil, change("g", 0, 1, classicMember("m", 1))) },
		"session":                   func() { AppendConsumerMixed(nil, change("g", 0, 1, spoilt)) },
		"nobody goes back":          func() { AppendConsumerDowngraded(nil, "g", 1, generation(2)) },
		"a generation out of range": func() { AppendConsumerDowngraded(nil, "g", 1, generation(-2, "a")) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("encoded")
				}
			}()
			code()
		})
	}
}
