package group

import (
	"bytes"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func places(topic uint64, partitions ...int32) []Place {
	var list []Place
	for _, p := range partitions {
		list = append(list, Place{topic, p})
	}
	return list
}

func consumerMember(id string, epoch int32) *ConsumerMember {
	return &ConsumerMember{ID: id, ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeout: 300_000, Topics: []string{"a", "b"},
		Epoch: epoch, PreviousEpoch: max(epoch-1, StaticLeft), Assigned: places(1, 0, 1), Target: places(1, 0, 1, 2)}
}

func change(id string, expect metastore.Version, epoch int32, put ...*ConsumerMember) ConsumerChange {
	return ConsumerChange{Group: id, Expect: expect, Epoch: epoch, TargetEpoch: epoch, Topics: 7, Put: put}
}

func memberCommit(id, member string, epoch int32, offsets ...PlacedOffset) []byte {
	return AppendCommit(nil, Commit{Group: id, Member: member, Epoch: epoch, Expires: Never, Offsets: offsets})
}

// consumerEntries go on where goldenEntries end.
func consumerEntries() [][]byte {
	rich := consumerMember("m2", StaticLeft)
	rich.PreviousEpoch = 5
	rich.Instance, rich.Rack, rich.Regex, rich.Assignor = "host-1", "zone-a", "^orders.*", "range"
	rich.State, rich.Revoking, rich.Topics = MemberUnrevoked, append(places(1, 300), Place{1 << 33, 7}), nil
	last := change("modern", 11, 3)
	last.Removed = []string{"m1", "unknown"}
	entries := [][][]byte{
		{AppendConsumerChange(nil, change("modern", 0, 1, consumerMember("m1", 1)))},
		{AppendConsumerChange(nil, change("modern", 10, 2, consumerMember("m1", 2), rich)), AppendConsumerChange(nil, change("modern", 10, 9))},
		{memberCommit("modern", "m1", 2, at(1, 0, 5)), memberCommit("modern", "m1", 1, at(1, 0, 6)), memberCommit("modern", "gone", 2, at(1, 0, 7))},
		{AppendConsumerChange(nil, last)},
	}
	joined := make([][]byte, len(entries))
	for i, effects := range entries {
		v := uint64(i + 10)
		h := metastore.Header{Term: 1, Number: v, Time: int64(1000 * v)}
		joined[i] = append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
	}
	return joined
}

func TestGolden_Consumer(t *testing.T) {
	before := goldenEntries()
	state, text := kit().Tell(t, append(before, consumerEntries()...), len(before))
	machinetest.Golden(t, "consumers.txt", text+hex.Dump(state.AppendSnapshot(nil))+kit().Words(t, state))
}

// TestConsumer_Guards: who may change and commit when.
func TestConsumer_Guards(t *testing.T) {
	j := newJournal(t)
	o := at(1, 0, 1)
	left := change("g", 3, 3)
	left.Removed = []string{"a"}
	for _, row := range []struct {
		what    string
		effects [][]byte
		want    []any
	}{
		{"two make the group", [][]byte{AppendConsumerChange(nil, change("g", 0, 1, consumerMember("a", 1))), AppendConsumerChange(nil, change("g", 0, 1, consumerMember("b", 1)))}, []any{true, false}},
		{"nobody's commit, a generation's, a member's, another epoch's", [][]byte{commit("g", 0, o), memberCommit("g", "a", 1, o), memberCommit("g", "a", 2, o), memberCommit("g", "a", 0, o), memberCommit("g", "b", 1, o)}, []any{false, true, false, false, false}},
		{"the member moves on, and its commit of before comes late", [][]byte{AppendConsumerChange(nil, change("g", 1, 2, consumerMember("a", 2))), memberCommit("g", "a", 1, o), memberCommit("g", "a", 2, o)}, []any{true, false, true}},
		{"a classic generation while there are members, a deletion", [][]byte{AppendGeneration(nil, "g", 3, generation(4, "x")), AppendGroupDeleted(nil, GroupDeletion{Group: "g", Generation: 3})}, []any{false, false}},
		{"the last member leaves", [][]byte{AppendConsumerChange(nil, left), memberCommit("g", "a", 2, o), commit("g", 0, o)}, []any{true, false, true}},
		{"a classic generation", [][]byte{AppendGeneration(nil, "g", 5, generation(4, "x")), AppendConsumerChange(nil, change("g", 6, 5, consumerMember("a", 5))), memberCommit("g", "a", 5, o)}, []any{true, false, false}},
		{"its last member leaves, and one of the other protocol comes", [][]byte{AppendGeneration(nil, "g", 6, generation(5))}, []any{true}},
		{"", [][]byte{AppendConsumerChange(nil, change("g", 7, 6, consumerMember("a", 6)))}, []any{true}},
		{"of a group unknown", [][]byte{memberCommit("other", "a", 1, o), AppendConsumerChange(nil, change("other", 3, 1))}, []any{false, false}},
	} {
		// Each row from the version that the next one expects: the second row's changes begin at version 2.
		if got := j.append(row.effects...); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, want %v (version %d)", row.what, got, row.want, j.fold.Version())
		}
	}
	if c := j.state.Consumer("g"); c == nil || c.Epoch != 6 || c.Member("a") == nil || c.Member("b") != nil || j.state.Consumer("other") != nil {
		t.Errorf("%+v", c)
	}
	if got := j.state.Consumers(); !slices.Equal(got, []string{"g"}) || len(j.state.WithMembers()) > 0 {
		t.Errorf("with members: %q, classic %q", got, j.state.WithMembers())
	}
}

func TestConsumer_RefusesWhatCantBeCoded(t *testing.T) {
	for name, spoil := range map[string]func(*ConsumerMember){
		"epoch":      func(m *ConsumerMember) { m.Epoch = -3 },
		"state":      func(m *ConsumerMember) { m.State = 3 },
		"topics":     func(m *ConsumerMember) { m.Topics = []string{"b", "a"} },
		"partitions": func(m *ConsumerMember) { m.Revoking = places(1, 2, 2) },
		"time-out":   func(m *ConsumerMember) { m.RebalanceTimeout = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := consumerMember("m", 1)
			spoil(m)
			defer func() {
				if recover() == nil {
					t.Error("encoded")
				}
			}()
			AppendConsumerChange(nil, change("g", 0, 1, m))
		})
	}
}

// TestConsumer_AsTheModel folds random changes and commits beside a model that keeps members in maps.
func TestConsumer_AsTheModel(t *testing.T) {
	stood, void := 0, 0
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		j := newJournal(t)
		written, classic := metastore.Version(0), false
		members := map[string]ConsumerMember{}
		offsets := 0
		for version := metastore.Version(1); version <= 60; version++ {
			expect := written
			if rnd.IntN(4) == 0 {
				expect = metastore.Version(rnd.Uint64N(uint64(version)))
			}
			var effect []byte
			want := false
			switch n := rnd.IntN(10); {
			case n < 6:
				x := change("g", expect, rnd.Int32N(9))
				for _, id := range strings.Split("abcdef", "") {
					switch rnd.IntN(4) {
					case 0:
						m := consumerMember(id, rnd.Int32N(3))
						m.Target = places(rnd.Uint64N(3), 1, 5)
						x.Put = append(x.Put, m)
					case 1:
						x.Removed = append(x.Removed, id)
					}
				}
				effect, want = AppendConsumerChange(nil, x), expect == written && !classic
				if want {
					for _, id := range x.Removed {
						delete(members, id)
					}
					for _, m := range x.Put {
						members[m.ID] = *m
					}
					written = version
				}
			case n < 9:
				id, epoch := string(rune('a'+rnd.IntN(6))), rnd.Int32N(3)
				m, ok := members[id]
				effect, want = memberCommit("g", id, epoch, at(1, 0, 1)), ok && m.Epoch == epoch
				if want {
					offsets = 1
				}
			default:
				g := generation(1)
				if rnd.IntN(2) == 0 {
					g = generation(1, "x")
				}
				effect, want = AppendGeneration(nil, "g", expect, g), expect == written && len(members) == 0
				if want {
					classic, written = len(g.Members) > 0, version
				}
			}
			if got := j.append(effect); got[0] != want {
				t.Fatalf("seed %d, version %d: came to %v, want %v", seed, version, got, want)
			}
			if want {
				stood++
			} else {
				void++
			}
			if rnd.IntN(6) == 0 {
				snapshot := j.state.AppendSnapshot(nil)
				if err := j.state.Restore(snapshot); err != nil || !bytes.Equal(j.state.AppendSnapshot(nil), snapshot) {
					t.Fatal(err)
				}
			}
			got := map[string]ConsumerMember{}
			if c := j.state.Consumer("g"); c != nil {
				for _, m := range c.Members {
					got[m.ID] = *m
				}
			}
			if !maps.EqualFunc(got, members, func(a, b ConsumerMember) bool { return reflect.DeepEqual(a, b) }) {
				t.Fatalf("seed %d, version %d: %v, want %v", seed, version, got, members)
			}
			if _, n := j.state.Counts(); n != offsets {
				t.Fatalf("%d offsets, want %d", n, offsets)
			}
		}
	}
	if t.Logf("%d stood, %d were void", stood, void); stood < 1500 || void < 1500 {
		t.Error("the histories show too little")
	}
}
