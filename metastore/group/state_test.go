package group

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func kit() machinetest.Kit[*State] {
	return machinetest.Kit[*State]{New: New, Describe: Describe, Exact: true}
}

// journal folds entries of one term; the writer's clock is 1,000 × the version.
type journal struct {
	t     testing.TB
	state *State
	fold  *metastore.Fold
}

func newJournal(t testing.TB) *journal {
	s := New()
	return &journal{t: t, state: s, fold: metastore.NewFold(s)}
}

func (j *journal) append(effects ...[]byte) []any {
	j.t.Helper()
	v := j.fold.Version() + 1
	h := metastore.Header{Term: 1, Number: uint64(v), Time: int64(1000 * v)}
	e := append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
	res, err := j.fold.Apply(v, e, func(metastore.Header) bool { return true })
	if err != nil {
		j.t.Fatal(err)
	}
	return res.Outcomes
}

func member(id string) Member {
	return Member{ID: id, ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeout: 60_000, SessionTimeout: 45_000,
		Subscription: []byte("sub " + id), Assignment: []byte("asg " + id)}
}

func generation(number int32, ids ...string) *Generation {
	g := &Generation{Number: number, ProtocolType: "consumer"}
	for _, id := range ids {
		g.Members = append(g.Members, member(id))
	}
	if len(ids) > 0 {
		g.Protocol, g.Leader = "range", ids[0]
	}
	return g
}

func at(topic uint64, partition int32, offset int64) PlacedOffset {
	return PlacedOffset{Place{topic, partition}, Offset{Offset: offset, LeaderEpoch: -1}}
}

func commit(id string, generation metastore.Version, offsets ...PlacedOffset) []byte {
	return AppendCommit(nil, Commit{Group: id, Generation: generation, Expires: Never, Offsets: offsets})
}

func goldenEntries() [][]byte {
	static := generation(2, "a", "b")
	static.Members[1].Instance, static.Members[1].Assignment = "host-1", nil
	rich := PlacedOffset{Place{7, 300}, Offset{Offset: 1 << 40, LeaderEpoch: 3, Metadata: "µ meta"}}
	entries := [][][]byte{
		{commit("simple", 0, at(1, 0, 10), at(1, 2, 0), rich)},
		{AppendGeneration(nil, "orders", 0, generation(1, "a"))},
		{commit("orders", 2, at(1, 0, 5)), commit("orders", 1, at(1, 0, 6)), commit("orders", 0, at(1, 0, 7))},
		{AppendGeneration(nil, "orders", 2, static)},
		{AppendGeneration(nil, "orders", 2, generation(2, "x")), commit("orders", 2, at(1, 0, 8)), commit("orders", 4, at(1, 1, -1))},
		{AppendCommit(nil, Commit{Group: "simple", Expires: 99_000, Offsets: []PlacedOffset{at(2, 1, 1)}})},
		{AppendOffsetsDeleted(nil, OffsetsDeletion{Group: "simple", Generation: 1, Places: []DeletedPlace{
			{Place: Place{1, 0}}, {Place: Place{1, 2}, CommittedAt: 1000, AsSeen: true}, {Place: Place{2, 1}, CommittedAt: 1000, AsSeen: true}}})},
		{AppendGroupDeleted(nil, GroupDeletion{Group: "simple", Generation: 1, Expired: true}), AppendGroupDeleted(nil, GroupDeletion{Group: "orders", Generation: 4})},
		{commit("", 0, at(9, 9, 9)), AppendGeneration(nil, "connect", 0, &Generation{Number: 1, ProtocolType: "connect"})},
	}
	joined := make([][]byte, len(entries))
	for i, effects := range entries {
		v := uint64(i + 1)
		h := metastore.Header{Term: 1, Number: v, Time: int64(1000 * v)}
		joined[i] = append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
	}
	return joined
}

func TestGolden(t *testing.T) {
	kit().Golden(t, "entries.txt", "snapshot.txt", goldenEntries())
}

func TestJournal_IsPinned(t *testing.T) {
	for id, want := range map[string]int{"": 0, "orders": 10, "connect-cluster": 8, "µ": 4} {
		if got := Journal(id, 16); got != want {
			t.Errorf("%q lies in journal %d, not %d", id, got, want)
		}
	}
}

// TestGeneration_ReplacesOnlyTheOneSeen: two coordinators of one group, of which the
// slower one loses, also with a higher number.
func TestGeneration_ReplacesOnlyTheOneSeen(t *testing.T) {
	j := newJournal(t)
	got := j.append(AppendGeneration(nil, "g", 0, generation(1, "a")), AppendGeneration(nil, "g", 0, generation(9, "x")))
	if !reflect.DeepEqual(got, []any{true, false}) {
		t.Errorf("%v", got)
	}
	got = j.append(AppendGeneration(nil, "g", 1, generation(2, "b")))
	got = append(got, j.append(AppendGeneration(nil, "g", 1, generation(3, "x")))...)
	if !reflect.DeepEqual(got, []any{true, false}) {
		t.Errorf("%v", got)
	}
	if g := j.state.Generation("g"); g.Number != 2 || g.Written != 2 || g.Since != 2000 || g.Member("b") == nil || g.Member("a") != nil {
		t.Errorf("%+v", g)
	}
}

// TestCommit_Guards: who may commit when.
func TestCommit_Guards(t *testing.T) {
	j := newJournal(t)
	o := at(1, 0, 1)
	for _, row := range []struct {
		what    string
		effects [][]byte
		want    []any
	}{
		{"nobody's to an unknown group", [][]byte{commit("g", 0, o)}, []any{true}},
		{"nobody's to an empty group", [][]byte{commit("g", 0, o)}, []any{true}},
		{"the first generation", [][]byte{AppendGeneration(nil, "g", 1, generation(1, "a"))}, []any{true}},
		{"nobody's to a group with members", [][]byte{commit("g", 0, o)}, []any{false}},
		{"of the generation", [][]byte{commit("g", 3, o)}, []any{true}},
		{"of the one before", [][]byte{commit("g", 1, o)}, []any{false}},
		{"of the generation until the next, and of the next", [][]byte{
			commit("g", 3, o), AppendGeneration(nil, "g", 3, generation(2, "b")), commit("g", 3, o), commit("g", 7, o)}, []any{true, true, false, true}},
		{"of a group unknown", [][]byte{commit("other", 3, o)}, []any{false}},
		{"the last member leaves", [][]byte{AppendGeneration(nil, "g", 7, generation(3)), commit("g", 0, o), commit("g", 7, o)}, []any{true, true, false}},
	} {
		if got := j.append(row.effects...); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, want %v", row.what, got, row.want)
		}
	}
	if j.state.Generation("other") != nil {
		t.Error("a void commit made a group")
	}
}

// TestDeletion_Guards: what was judged is what goes.
func TestDeletion_Guards(t *testing.T) {
	j := newJournal(t)
	place := func(p int32) DeletedPlace { return DeletedPlace{Place: Place{1, p}, CommittedAt: 3000, AsSeen: true} }
	deletion := func(generation metastore.Version, places ...DeletedPlace) []byte {
		return AppendOffsetsDeleted(nil, OffsetsDeletion{Group: "g", Generation: generation, Places: places})
	}
	group := func(generation metastore.Version, expired bool) []byte {
		return AppendGroupDeleted(nil, GroupDeletion{Group: "g", Generation: generation, Expired: expired})
	}
	for i, row := range []struct {
		what   string
		effect []byte
		want   any
	}{
		{"offsets of a group unknown", deletion(0, place(0)), -1},
		{"a group unknown", group(0, false), false},
		{"version 3 makes it", commit("g", 0, at(1, 0, 1), at(1, 1, 1), at(1, 2, 1)), true},
		{"and one is committed again", commit("g", 0, at(1, 1, 2)), true},
		{"all as they were at version 3", deletion(3, place(0), place(1), place(2), place(3)), 2},
		{"another generation", deletion(1, place(1)), -1},
		{"a group that has offsets, as expired", group(3, true), false},
		{"whichever generation and time", deletion(0, DeletedPlace{Place: Place{1, 1}}), 1},
		{"a member comes", AppendGeneration(nil, "g", 3, generation(1, "a")), true},
		{"a group with members", group(9, true), false},
		{"the last leaves", AppendGeneration(nil, "g", 9, generation(2)), true},
		{"a group as it was before", group(9, false), false},
		{"an empty group", group(11, true), true},
		{"its successor comes", commit("g", 0, at(1, 0, 1)), true},
		{"as seen before", group(11, false), false},
		{"with its offsets", group(14, false), true},
	} {
		if got := j.append(row.effect); got[0] != row.want {
			t.Errorf("%d: %s: came to %v, want %v", i+1, row.what, got[0], row.want)
		}
	}
	if groups, offsets := j.state.Counts(); groups != 0 || offsets != 0 {
		t.Errorf("%d groups, %d offsets are left", groups, offsets)
	}
}

func TestApply_RefusesWhatIsCorrupt(t *testing.T) {
	effect := func(kind metastore.EffectKind, body ...byte) []byte { return metastore.AppendEffect(nil, kind, body) }
	for name, e := range map[string][]byte{
		"a shard's effect":            effect(metastore.EffectFlush, 1, 0),
		"a reserved effect":           effect(metastore.EffectOffsetsPending, 1),
		"a guard unknown":             effect(metastore.EffectOffsetsCommitted, 1, 'g', 2, 1, 0),
		"a generation never written":  effect(metastore.EffectOffsetsCommitted, 1, 'g', 1, 0, 1, 0),
		"bytes left":                  effect(metastore.EffectOffsetsCommitted, 1, 'g', 0, 1, 0, 0),
		"an expiry below never":       effect(metastore.EffectOffsetsCommitted, 1, 'g', 0, 3, 0),
		"a topic twice":               effect(metastore.EffectOffsetsCommitted, 1, 'g', 0, 1, 2, 1, 1, 0, 2, 0, 0, 0, 1, 0, 2, 0, 0),
		"a partition twice":           effect(metastore.EffectOffsetsCommitted, 1, 'g', 0, 1, 1, 1, 2, 0, 2, 0, 0, 0, 2, 0, 0),
		"a topic of none":             effect(metastore.EffectOffsetsCommitted, 1, 'g', 0, 1, 1, 1, 0, 0, 0, 0),
		"members out of order":        effect(metastore.EffectGroupGeneration, append([]byte{1, 'g', 0, 1, 0, 0, 0, 2}, 1, 'b', 0, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0)...),
		"a deletion's flag unknown":   effect(metastore.EffectGroupDeleted, 1, 'g', 1, 2),
		"a deleted offset's flag":     effect(metastore.EffectOffsetsDeleted, 1, 'g', 0, 1, 1, 1, 0, 2),
		"more members than are there": effect(metastore.EffectGroupGeneration, 1, 'g', 0, 1, 0, 0, 0, 0x7f),
	} {
		t.Run(name, func(t *testing.T) {
			_, effects, err := metastore.ParseEntry(append(metastore.AppendHeader(nil, metastore.Header{Term: 1, Number: 1}), e...))
			if err != nil {
				t.Fatal(err)
			}
			kind, body, _, err := effects.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := New().Apply(metastore.At{Version: 1}, kind, body, true); err == nil {
				t.Error("folded")
			}
			if _, err := Describe(kind, body); err == nil {
				t.Error("described")
			}
		})
	}
}

func TestAppend_PanicsOnWhatWouldStopTheJournal(t *testing.T) {
	unordered := generation(1, "b", "a")
	for name, f := range map[string]func(){
		"members out of order": func() { AppendGeneration(nil, "g", 0, unordered) },
		"a negative number":    func() { AppendGeneration(nil, "g", 0, generation(-1)) },
		"offsets out of order": func() { commit("g", 0, at(1, 1, 0), at(1, 0, 0)) },
		"an offset twice":      func() { commit("g", 0, at(1, 1, 0), at(1, 1, 0)) },
		"a negative partition": func() { commit("g", 0, at(1, -1, 0)) },
		"a long id":            func() { commit(string(make([]byte, IDBytesMax+1)), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("encoded")
				}
			}()
			f()
		})
	}
}

// TestCommit_Size: what a commit of a thousand groups a second costs.
func TestCommit_Size(t *testing.T) {
	e := commit("orders-group", 1<<20, at(1000, 3, 1<<32))
	if len(e) > 36 {
		t.Errorf("%d bytes", len(e))
	}
}
