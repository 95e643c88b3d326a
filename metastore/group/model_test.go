package group

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// The model keeps every commit that ever stood in a list and looks for everything in
// it. It shares no code with the package's fold.
type model struct {
	groups  map[string]*modelGroup
	pending []modelPending
	ended   map[int64]modelEnd
	open    map[int64]bool // has committed in a transaction that has not ended
}

// modelPending is an offset of a transaction that has not ended.
type modelPending struct {
	group, place string
	producer     int64
	x, version   uint64
	offset       Offset
}

type modelEnd struct {
	x    uint64
	time int64
}

// drop forgets the pending offsets that match.
func (m *model) drop(match func(modelPending) bool) { m.pending = slices.DeleteFunc(m.pending, match) }

func (m *model) unstable(group, place string) bool {
	return slices.ContainsFunc(m.pending, func(p modelPending) bool { return p.group == group && (place == "" || p.place == place) })
}

type modelGroup struct {
	written, since uint64
	generation     Generation
	commits        []modelCommit
}

type modelCommit struct {
	place    string
	offset   Offset
	deleted  bool
	recorded uint64 // the version that it was written by; of a transaction's, while it was pending
}

func (g *modelGroup) last(place string) *modelCommit {
	for i := len(g.commits) - 1; i >= 0; i-- {
		if g.commits[i].place == place {
			if g.commits[i].deleted {
				return nil
			}
			return &g.commits[i]
		}
	}
	return nil
}

func (g *modelGroup) places() map[string]Offset {
	m := map[string]Offset{}
	for _, c := range g.commits {
		if last := g.last(c.place); last != nil {
			m[c.place] = last.offset
		}
	}
	return m
}

type modelGeneration struct {
	group      string
	expect     uint64
	generation Generation
}

func (m *model) apply(version, now uint64, effect any) any {
	switch x := effect.(type) {
	case modelGeneration:
		g := m.groups[x.group]
		if g == nil && x.expect != 0 || g != nil && g.written != x.expect {
			return false
		}
		if g == nil {
			g = &modelGroup{}
			m.groups[x.group] = g
		}
		g.written, g.since, g.generation = version, now, x.generation
		return true
	case Pending:
		g := m.groups[x.Group]
		if x.Transaction <= m.ended[x.Producer].x {
			return false
		}
		if !x.AnyMembers && (x.Generation == 0 && g != nil && len(g.generation.Members) > 0 || x.Generation != 0 && (g == nil || g.written != uint64(x.Generation))) {
			return false
		}
		if g == nil {
			m.groups[x.Group] = &modelGroup{written: version, since: now}
		}
		m.open[x.Producer] = true
		for _, o := range x.Offsets {
			p := modelPending{x.Group, fmt.Sprint(o.Place), x.Producer, x.Transaction, version, o.Offset}
			p.offset.CommittedAt, p.offset.Expires = int64(now), Never
			m.drop(func(q modelPending) bool { return q.group == p.group && q.place == p.place && q.producer == p.producer })
			m.pending = append(m.pending, p)
		}
		return true
	case Ended:
		if x.Transaction <= m.ended[x.Producer].x {
			return false
		}
		m.ended[x.Producer] = modelEnd{x.Transaction, int64(now)}
		delete(m.open, x.Producer)
		for _, p := range m.pending {
			if p.producer != x.Producer || !x.Commit {
				continue
			}
			g := m.groups[p.group]
			if !slices.ContainsFunc(g.commits, func(c modelCommit) bool { return c.place == p.place && c.recorded > p.version }) {
				g.commits = append(g.commits, modelCommit{place: p.place, offset: p.offset, recorded: p.version})
			}
		}
		m.drop(func(p modelPending) bool { return p.producer == x.Producer })
		return true
	case []EndedProducer:
		n := 0
		for _, e := range x {
			if m.ended[e.Producer].x == e.Transaction && e.Transaction > 0 && !m.open[e.Producer] {
				delete(m.ended, e.Producer)
				n++
			}
		}
		return n
	case Commit:
		g := m.groups[x.Group]
		if x.Generation == 0 && g != nil && len(g.generation.Members) > 0 {
			return false
		}
		if x.Generation != 0 && (g == nil || g.written != uint64(x.Generation)) {
			return false
		}
		if g == nil {
			g = &modelGroup{written: version, since: now}
			m.groups[x.Group] = g
		}
		for _, o := range x.Offsets {
			o.CommittedAt, o.Expires = int64(now), x.Expires
			g.commits = append(g.commits, modelCommit{place: fmt.Sprint(o.Place), offset: o.Offset, recorded: version})
		}
		return true
	case OffsetsDeletion:
		g := m.groups[x.Group]
		if g == nil || x.Generation != 0 && g.written != uint64(x.Generation) {
			return -1
		}
		n := 0
		for _, p := range x.Places {
			last := g.last(fmt.Sprint(p.Place))
			if p.AsSeen && m.unstable(x.Group, fmt.Sprint(p.Place)) {
				continue
			}
			if !p.AsSeen {
				m.drop(func(q modelPending) bool { return q.group == x.Group && q.place == fmt.Sprint(p.Place) })
			}
			if last == nil || p.AsSeen && last.offset.CommittedAt != p.CommittedAt {
				continue
			}
			last.deleted = true
			n++
		}
		return n
	case GroupDeletion:
		g := m.groups[x.Group]
		if g == nil || g.written != uint64(x.Generation) || len(g.generation.Members) > 0 || x.Expired && (len(g.places()) > 0 || m.unstable(x.Group, "")) {
			return false
		}
		m.drop(func(p modelPending) bool { return p.group == x.Group })
		delete(m.groups, x.Group)
		return true
	}
	panic(effect)
}

func encode(effect any) []byte {
	switch x := effect.(type) {
	case modelGeneration:
		return AppendGeneration(nil, x.group, metastore.Version(x.expect), &x.generation)
	case Commit:
		return AppendCommit(nil, x)
	case OffsetsDeletion:
		return AppendOffsetsDeleted(nil, x)
	case GroupDeletion:
		return AppendGroupDeleted(nil, x)
	case Pending:
		return AppendPending(nil, x)
	case Ended:
		return AppendEnded(nil, x)
	case []EndedProducer:
		return AppendEndedForgotten(nil, x)
	}
	panic(effect)
}

// history is a random history, written by coordinators that lag and don't know of each other.
type history struct {
	rnd   *rand.Rand
	model *model
	next  [3]uint64 // by producer: the number of its transaction at hand
}

// transactional is an effect of a producer's transaction at hand, or late, of one before it.
func (h *history) transactional(id string, written uint64) any {
	producer := h.rnd.Int64N(3)
	x := h.next[producer] + 1
	if h.rnd.IntN(4) == 0 && h.model.ended[producer].x > 0 {
		x = h.model.ended[producer].x // late
	}
	switch h.rnd.IntN(4) {
	case 0:
		h.next[producer] = max(h.next[producer], x)
		return Ended{producer, x, h.rnd.IntN(3) > 0}
	case 1:
		if e := h.model.ended[producer]; e.x > 0 && h.rnd.IntN(4) == 0 {
			return []EndedProducer{{producer, e.x}}
		}
	}
	p := Pending{Producer: producer, Transaction: x, AnyMembers: h.rnd.IntN(2) == 0, Commit: Commit{Group: id, Generation: metastore.Version(written)}}
	if h.rnd.IntN(3) == 0 {
		p.Generation = 0
	}
	for _, place := range h.placesOf(4) {
		p.Offsets = append(p.Offsets, PlacedOffset{place, Offset{Offset: h.rnd.Int64N(100), LeaderEpoch: -1}})
	}
	return p
}

var testGroups = []string{"a", "b", "µ"}

// written is a version that a writer may have seen: mostly the one that stands.
func (h *history) written(id string, version uint64) uint64 {
	if g := h.model.groups[id]; g != nil && h.rnd.IntN(4) > 0 {
		return g.written
	}
	return h.rnd.Uint64N(version + 1)
}

func (h *history) placesOf(n int) []Place {
	chosen := map[Place]bool{}
	for range 1 + h.rnd.IntN(n) {
		chosen[Place{1 + h.rnd.Uint64N(3), h.rnd.Int32N(4)}] = true
	}
	return slices.SortedFunc(maps.Keys(chosen), func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

func (h *history) effect(version uint64) any {
	id := testGroups[h.rnd.IntN(len(testGroups))]
	written := h.written(id, version)
	if h.rnd.IntN(3) == 0 {
		return h.transactional(id, written)
	}
	switch n := h.rnd.IntN(10); {
	case n < 2:
		g := Generation{Number: h.rnd.Int32N(5), ProtocolType: "consumer"}
		for i := range h.rnd.IntN(4) {
			g.Members = append(g.Members, member(fmt.Sprint(i, h.rnd.IntN(3))))
		}
		return modelGeneration{id, written, g}
	case n < 7:
		c := Commit{Group: id, Generation: metastore.Version(written), Expires: h.rnd.Int64N(3) - 1}
		if h.rnd.IntN(3) == 0 {
			c.Generation = 0
		}
		for _, p := range h.placesOf(4) {
			c.Offsets = append(c.Offsets, PlacedOffset{p, Offset{Offset: h.rnd.Int64N(100), LeaderEpoch: h.rnd.Int32N(2) - 1, Metadata: fmt.Sprint(h.rnd.IntN(3))}})
		}
		return c
	case n < 9:
		x := OffsetsDeletion{Group: id, Generation: metastore.Version(written)}
		for _, p := range h.placesOf(6) {
			d := DeletedPlace{Place: p, AsSeen: h.rnd.IntN(2) == 0}
			if d.AsSeen {
				d.CommittedAt = int64(h.rnd.Uint64N(version + 1))
				if g := h.model.groups[id]; g != nil && h.rnd.IntN(3) > 0 {
					if last := g.last(fmt.Sprint(p)); last != nil {
						d.CommittedAt = last.offset.CommittedAt
					}
				}
			}
			x.Places = append(x.Places, d)
		}
		return x
	}
	return GroupDeletion{id, metastore.Version(written), h.rnd.IntN(2) == 0}
}

// TestFold_AsTheModel folds random histories beside the model, now and then from a snapshot.
func TestFold_AsTheModel(t *testing.T) {
	stood, void := 0, 0
	for seed := range uint64(300) {
		h := &history{rand.New(rand.NewPCG(seed, 1)), &model{groups: map[string]*modelGroup{}, ended: map[int64]modelEnd{}, open: map[int64]bool{}}, [3]uint64{}}
		s := New()
		for version := uint64(1); version <= 80; version++ {
			now := version + 5
			effect := h.effect(version)
			want := h.model.apply(version, now, effect)
			_, effects, err := metastore.ParseEntry(append(metastore.AppendHeader(nil, metastore.Header{Term: 1, Number: version}), encode(effect)...))
			if err != nil {
				t.Fatal(err)
			}
			kind, body, _, err := effects.Next()
			if err != nil {
				t.Fatal(err)
			}
			at := metastore.At{Version: metastore.Version(version), Header: metastore.Header{Term: 1, Number: version, Time: int64(now)}}
			got, err := s.Apply(at, kind, body, true)
			if err != nil || got != want {
				t.Fatalf("seed %d, version %d: %+v came to %v, %v, want %v", seed, version, effect, got, err, want)
			}
			if want == false || want == -1 || want == 0 {
				void++
			} else {
				stood++
			}
			if h.rnd.IntN(8) == 0 {
				snapshot := s.AppendSnapshot(nil)
				s = New()
				if err := s.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.AppendSnapshot(nil), snapshot) {
					t.Fatal("the restored state is another")
				}
			}
			compareStates(t, s, h.model)
		}
	}
	if t.Logf("%d stood, %d were void", stood, void); stood < 5000 || void < 5000 {
		t.Error("the histories show too little")
	}
}

func compareStates(t *testing.T, s *State, m *model) {
	t.Helper()
	if got := s.Groups(); !slices.Equal(got, slices.Sorted(maps.Keys(m.groups))) {
		t.Fatalf("groups %q", got)
	}
	total := 0
	var withMembers []string
	for _, id := range s.Groups() {
		want, got := m.groups[id], s.Generation(id)
		if uint64(got.Written) != want.written || uint64(got.Since) != want.since || got.Number != want.generation.Number || len(got.Members) != len(want.generation.Members) {
			t.Fatalf("%q: %+v, want %+v", id, got, want)
		}
		for i, member := range got.Members {
			if fmt.Sprint(member) != fmt.Sprint(want.generation.Members[i]) {
				t.Fatalf("%q: %+v, want %+v", id, member, want.generation.Members[i])
			}
		}
		if len(got.Members) > 0 {
			withMembers = append(withMembers, id)
		}
		places := want.places()
		offsets := s.Offsets(id)
		if len(offsets) != len(places) {
			t.Fatalf("%q: %d offsets, want %d", id, len(offsets), len(places))
		}
		total += len(places)
		var unstable []string
		for topic := range uint64(4) {
			for partition := range int32(4) {
				p := Place{topic, partition}
				if m.unstable(id, fmt.Sprint(p)) {
					unstable = append(unstable, fmt.Sprint(p))
				}
				if s.Unstable(id, p) != m.unstable(id, fmt.Sprint(p)) {
					t.Fatalf("%q: %v unstable: %t", id, p, s.Unstable(id, p))
				}
			}
		}
		if got := s.UnstablePlaces(id); fmt.Sprint(got) != "["+strings.Join(unstable, " ")+"]" {
			t.Fatalf("%q: unstable %v, want %v", id, got, unstable)
		}
		for _, o := range offsets {
			one, ok := s.Offset(id, o.Place)
			if !ok || one != o.Offset || one != places[fmt.Sprint(o.Place)] {
				t.Fatalf("%q: %+v, want %+v", id, o, places[fmt.Sprint(o.Place)])
			}
		}
	}
	for producer := range int64(3) {
		if got := s.EndedTransaction(producer); got != m.ended[producer].x {
			t.Fatalf("producer %d: %d ended, want %d", producer, got, m.ended[producer].x)
		}
	}
	if _, pending := s.Transactional(); pending != len(m.pending) {
		t.Fatalf("%d offsets are pending, want %d", pending, len(m.pending))
	}
	if groups, offsets := s.Counts(); groups != len(m.groups) || offsets != total || !slices.Equal(s.WithMembers(), withMembers) {
		t.Fatalf("%d groups, %d offsets, with members %q", groups, offsets, s.WithMembers())
	}
}
