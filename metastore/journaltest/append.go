package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

var shardJournal = metastore.ShardJournal

func versionsAreGapless(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(3)
	var want []string
	for v := metastore.Version(1); v <= 20; v++ {
		through := s.Store
		if v%3 == 0 {
			through = s.Other
		}
		text := fmt.Sprintf("entry %d", v)
		if got := Append(t, through, term, Part(j, text)); got[0] != v {
			t.Fatalf("append %d got version %d", v, got[0])
		}
		want = append(want, fmt.Sprintf("%d:%s", v, text))
	}
	if got := Entries(t, s.Other, j, 0); !slices.Equal(got, want) {
		t.Fatalf("entries %q, want %q", got, want)
	}
	if got := Head(t, s.Store, shardJournal(4)); got != 0 {
		t.Fatalf("another journal has head %d", got)
	}
}

func manyJournals(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	all := s.Store.Cluster().Journals()
	slices.Reverse(all) // any order is allowed
	Append(t, s.Store, term, Part(all[1], "before"))
	parts := make([]metastore.AppendPart, len(all))
	for i, j := range all {
		parts[i] = Part(j, j.String())
	}
	for i, v := range Append(t, s.Store, term, parts...) {
		want := metastore.Version(1)
		if i == 1 {
			want = 2
		}
		if v != want {
			t.Fatalf("%v got version %d, want %d", all[i], v, want)
		}
	}
	positions := make([]metastore.Position, len(all))
	for i, j := range all {
		positions[i].Journal = j
	}
	tails, err := s.Other.Read(t.Context(), positions, 1<<20)
	must(t, "read all", err)
	for i, tail := range tails {
		checkTail(t, tail, positions[i], 1<<20)
		if last := tail.Entries[len(tail.Entries)-1]; string(last.Payload) != all[i].String() {
			t.Fatalf("%v holds %q", all[i], last.Payload)
		}
	}
}

func strictWins(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j, k := metastore.CatalogJournal, shardJournal(0)
	Append(t, s.Store, term, StrictPart(j, "first", 0))
	Append(t, s.Store, term, Part(k, "routine"))
	got := Append(t, s.Store, term, Part(k, "with it"), StrictPart(j, "second", 1))
	if !slices.Equal(got, []metastore.Version{2, 2}) {
		t.Fatalf("versions %v", got)
	}
}

func strictLostAppendsNothing(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j, k, l := metastore.CatalogJournal, shardJournal(7), shardJournal(2)
	Append(t, s.Store, term, Part(j, "a"))
	Append(t, s.Store, term, Part(j, "b"))
	for _, expect := range []metastore.Version{0, 1, 3} {
		for _, parts := range [][]metastore.AppendPart{
			{StrictPart(j, "lost", expect)},
			{Part(k, "lost"), StrictPart(j, "lost", expect), Part(l, "lost")},
			{StrictPart(k, "lost", 0), StrictPart(l, "lost", 0), StrictPart(j, "lost", expect)},
		} {
			_, err := s.Store.Append(t.Context(), term, parts)
			var lost *metastore.StrictLostError
			if !errors.As(err, &lost) || lost.Journal != j || lost.Head != 2 {
				t.Fatalf("strict append at %d: %v", expect, err)
			}
		}
	}
	for id, want := range map[metastore.JournalID]metastore.Version{j: 2, k: 0, l: 0} {
		if got := Head(t, s.Other, id); got != want {
			t.Fatalf("%v is at %d after lost appends, want %d", id, got, want)
		}
	}
}

func samePayloadAgain(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(1)
	part := Part(j, "the same")
	Append(t, s.Store, term, part)
	if got := Append(t, s.Store, term, part); got[0] != 2 {
		t.Fatalf("the repeat got version %d: stores do not look into payloads", got[0])
	}
	if got := Entries(t, s.Store, j, 0); !slices.Equal(got, []string{"1:the same", "2:the same"}) {
		t.Fatalf("entries %q", got)
	}
}

func keepsNoReference(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(1)
	part := Part(j, "original")
	Append(t, s.Store, term, part)
	copy(part.Payload, "scribble")
	tail := readOne(t, s.Store, j, 0, 1<<20)
	if string(tail.Entries[0].Payload) != "original" {
		t.Fatalf("the entry is now %q", tail.Entries[0].Payload)
	}
	copy(tail.Entries[0].Payload, "scribble")
	if got := Entries(t, s.Store, j, 0); got[0] != "1:original" {
		t.Fatalf("the entry is now %q", got[0])
	}
}

func refusesBugs(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(0)
	unknown := shardJournal(s.Store.Cluster().Shards)
	for name, parts := range map[string][]metastore.AppendPart{
		"no parts":        nil,
		"journal twice":   {Part(j, "a"), Part(shardJournal(1), "b"), Part(j, "c")},
		"unknown journal": {Part(j, "a"), Part(unknown, "b")},
		"empty payload":   {Part(j, "a"), Part(shardJournal(1), "")},
		"over the bound":  {Part(j, "a"), {Journal: shardJournal(1), Payload: make([]byte, metastore.EntryBytesMax+1)}},
	} {
		_, err := s.Store.Append(t.Context(), term, parts)
		wantOther(t, name, err)
	}
	if got := Head(t, s.Store, j); got != 0 {
		t.Fatalf("head %d after refused appends", got)
	}
	_, err := s.Store.Read(t.Context(), []metastore.Position{{Journal: unknown}}, 1)
	wantOther(t, "read of an unknown journal", err)
	_, err = s.Store.Snapshots(t.Context(), []metastore.JournalID{unknown})
	wantOther(t, "snapshots of an unknown journal", err)
	_, err = s.Store.Trim(t.Context(), unknown, 1, 1)
	wantOther(t, "trim of an unknown journal", err)
	_, err = s.Store.PlaceSnapshot(t.Context(), term, metastore.SnapshotPlace{Journal: unknown})
	wantOther(t, "snapshot of an unknown journal", err)
}

func largestEntry(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(0)
	random := rand.NewChaCha8([32]byte{1})
	var want [][]byte
	for _, size := range []int{1, 2000, 8000, 100_000, metastore.EntryBytesMax} {
		payload := make([]byte, size)
		random.Read(payload)
		want = append(want, payload)
		Append(t, s.Store, term, metastore.AppendPart{Journal: j, Payload: payload})
	}
	tail := readOne(t, s.Store, j, 0, 8<<20)
	if len(tail.Entries) != len(want) {
		t.Fatalf("%d entries", len(tail.Entries))
	}
	for i, e := range tail.Entries {
		if !bytes.Equal(e.Payload, want[i]) {
			t.Fatalf("entry %d of %d bytes came back otherwise", i+1, len(want[i]))
		}
	}
}

func cancelledBefore(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantOther(t, "append with a cancelled context", appendWith(ctx, s.Store, term, Part(shardJournal(0), "x")))
	Append(t, s.Store, term, Part(shardJournal(0), "after"))
}

// landed is an append that was answered.
type landed struct {
	name     string
	versions map[metastore.JournalID]metastore.Version
}

// concurrentWriters is also the deadlock test: many writers, journals unsorted.
func concurrentWriters(t *testing.T, s Subject) {
	const writers, appends, journals = 16, 12, 8
	results := make([][]landed, writers)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		store := []metastore.Store{s.Store, s.Other}[w%2]
		term := Begin(t, store)
		random := rand.New(rand.NewPCG(7, uint64(w)))
		wg.Go(func() {
			for n := range appends {
				name := fmt.Sprintf("%d/%d", w, n)
				order := random.Perm(journals)[:1+random.IntN(journals)]
				parts := make([]metastore.AppendPart, len(order))
				for i, shard := range order {
					parts[i] = Part(shardJournal(shard), name)
				}
				versions, err := store.Append(t.Context(), term, parts)
				if err != nil {
					errs[w] = err
					return
				}
				l := landed{name: name, versions: make(map[metastore.JournalID]metastore.Version)}
				for i, p := range parts {
					l.versions[p.Journal] = versions[i]
				}
				results[w] = append(results[w], l)
			}
		})
	}
	wg.Wait()
	must(t, "concurrent appends", errors.Join(errs...))
	checkOneOrder(t, s, slices.Concat(results...), journals)
}

// checkOneOrder checks that the journals hold exactly the appends answered, at
// their versions, and that any two appends have one order in all journals they share.
func checkOneOrder(t *testing.T, s Subject, all []landed, journals int) {
	for shard := range journals {
		j := shardJournal(shard)
		want := make(map[string]bool)
		for _, l := range all {
			if v, ok := l.versions[j]; ok {
				want[fmt.Sprintf("%d:%s", v, l.name)] = true
			}
		}
		got := Entries(t, s.Store, j, 0)
		if len(got) != len(want) {
			t.Fatalf("%v holds %d entries, %d were answered", j, len(got), len(want))
		}
		for _, e := range got {
			if !want[e] {
				t.Fatalf("%v holds %q, which was not answered", j, e)
			}
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			order := 0
			for j, v := range a.versions {
				w, shared := b.versions[j]
				if !shared {
					continue
				}
				if now := sign(v, w); order == 0 {
					order = now
				} else if now != order {
					t.Fatalf("%s and %s: two orders: %v and %v", a.name, b.name, a.versions, b.versions)
				}
			}
		}
	}
}

func sign(a, b metastore.Version) int {
	if a < b {
		return -1
	}
	return 1
}

func concurrentStrict(t *testing.T, s Subject) {
	const writers, wins = 4, 10
	j := metastore.CatalogJournal
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		store := []metastore.Store{s.Store, s.Other}[w%2]
		term := Begin(t, store)
		wg.Go(func() {
			head := metastore.Version(0)
			for won := 0; won < wins; {
				err := appendWith(t.Context(), store, term,
					Part(shardJournal(w), "beside"), StrictPart(j, fmt.Sprintf("%d/%d", w, won), head))
				var lost *metastore.StrictLostError
				switch {
				case err == nil:
					won, head = won+1, head+1
				case errors.As(err, &lost) && lost.Journal == j && lost.Head > head:
					head = lost.Head
				default:
					errs[w] = fmt.Errorf("at %d: %w", head, err)
					return
				}
			}
		})
	}
	wg.Wait()
	must(t, "strict appends", errors.Join(errs...))
	if got := Head(t, s.Store, j); got != writers*wins {
		t.Fatalf("head %d after %d strict appends", got, writers*wins)
	}
	for w := range writers {
		if got := Head(t, s.Store, shardJournal(w)); got != wins {
			t.Fatalf("writer %d: %d entries beside %d strict ones: a lost append left something", w, got, wins)
		}
	}
}
