package journaltest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

func place(j metastore.JournalID, v metastore.Version) metastore.SnapshotPlace {
	p := metastore.SnapshotPlace{Journal: j, Version: v, Object: fmt.Sprintf("snapshots/%v/%d", j, v), Size: int64(v) * 100}
	p.Hash[0], p.Hash[31] = byte(v), 0xff
	return p
}

func fill(t *testing.T, s Subject, term metastore.Term, j metastore.JournalID, entries int) {
	t.Helper()
	for range entries {
		Append(t, s.Store, term, Part(j, "x"))
	}
}

func placed(t *testing.T, s metastore.Store, journals ...metastore.JournalID) []metastore.SnapshotPlace {
	t.Helper()
	places, err := s.Snapshots(t.Context(), journals)
	must(t, "snapshots", err)
	return places
}

func newestReplaces(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(3)
	fill(t, s, term, j, 10)
	if got := placed(t, s.Store, j); len(got) != 0 {
		t.Fatalf("placed before any was: %+v", got)
	}
	for _, c := range []struct {
		version, replaces, stands metastore.Version
	}{
		{4, 0, 4},
		{7, 4, 7},
		{5, 0, 7}, // older: ignored
		{7, 0, 7}, // again, its answer having been lost: its object is in use, and must not be named as replaced
		{10, 7, 10},
	} {
		replaced, err := s.Store.PlaceSnapshot(t.Context(), term, place(j, c.version))
		must(t, "place", err)
		switch {
		case c.replaces == 0 && replaced != nil:
			t.Fatalf("version %d replaced %+v", c.version, *replaced)
		case c.replaces != 0 && (replaced == nil || *replaced != place(j, c.replaces)):
			t.Fatalf("version %d replaced %+v, want version %d", c.version, replaced, c.replaces)
		}
		if got := placed(t, s.Other, j); !slices.Equal(got, []metastore.SnapshotPlace{place(j, c.stands)}) {
			t.Fatalf("after version %d: %+v", c.version, got)
		}
	}
}

func onlyThoseAsked(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	for shard := range 4 {
		fill(t, s, term, shardJournal(shard), shard+1)
		_, err := s.Store.PlaceSnapshot(t.Context(), term, place(shardJournal(shard), metastore.Version(shard+1)))
		must(t, "place", err)
	}
	got := placed(t, s.Store, shardJournal(3), shardJournal(5), shardJournal(1))
	slices.SortFunc(got, func(a, b metastore.SnapshotPlace) int { return int(a.Journal) - int(b.Journal) })
	if want := []metastore.SnapshotPlace{place(shardJournal(1), 2), place(shardJournal(3), 4)}; !slices.Equal(got, want) {
		t.Fatalf("snapshots %+v, want %+v", got, want)
	}
	if got := placed(t, s.Store); len(got) != 0 {
		t.Fatalf("none asked: %+v", got)
	}
}

func snapshotRefused(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(0)
	fill(t, s, term, j, 2)
	_, err := s.Store.PlaceSnapshot(t.Context(), term, place(j, 3))
	wantOther(t, "snapshot beyond the head", err)
	endTerm(t, s.Store, term, true, true)
	_, err = s.Store.PlaceSnapshot(t.Context(), term, place(j, 2))
	wantEnded(t, "snapshot of an ended term", err)
	if got := placed(t, s.Store, j); len(got) != 0 {
		t.Fatalf("placed: %+v", got)
	}
}

func trim(t *testing.T, s metastore.Store, j metastore.JournalID, through metastore.Version, rowsMax, want int) {
	t.Helper()
	n, err := s.Trim(t.Context(), j, through, rowsMax)
	must(t, "trim", err)
	if n != want {
		t.Fatalf("trim through %d, at most %d rows: %d deleted, want %d", through, rowsMax, n, want)
	}
}

func trimNeedsSnapshot(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(0)
	trim(t, s.Store, j, 100, 100, 0)
	fill(t, s, term, j, 5)
	trim(t, s.Store, j, 100, 100, 0)
	if got := len(Entries(t, s.Store, j, 0)); got != 5 {
		t.Fatalf("%d entries left", got)
	}
}

func trimRules(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(4)
	fill(t, s, term, j, 10)
	_, err := s.Store.PlaceSnapshot(t.Context(), term, place(j, 8))
	must(t, "place", err)
	trim(t, s.Store, j, 3, 2, 2) // oldest first, at most so many
	trim(t, s.Store, j, 3, 0, 0)
	trim(t, s.Store, j, 3, 2, 1)
	trim(t, s.Store, j, 3, 2, 0)
	for after := metastore.Version(0); after <= 10; after++ {
		tail := readOne(t, s.Other, j, after, 1<<20)
		if tail.Head != 10 || tail.Trimmed != (after < 3) {
			t.Fatalf("after %d: head %d, trimmed %v", after, tail.Head, tail.Trimmed)
		}
	}
	trim(t, s.Store, j, 100, 100, 5) // not beyond the snapshot
	if got := Entries(t, s.Store, j, 8); len(got) != 2 {
		t.Fatalf("left %q", got)
	}
	_, err = s.Store.PlaceSnapshot(t.Context(), term, place(j, 10))
	must(t, "place", err)
	trim(t, s.Other, j, 100, 100, 1) // never the newest
	trim(t, s.Other, j, 100, 100, 0)
	if tail := readOne(t, s.Store, j, 8, 1<<20); !tail.Trimmed || tail.Head != 10 {
		t.Fatalf("after 8: %+v", tail)
	}
	if got := Append(t, s.Store, term, Part(j, "on")); got[0] != 11 {
		t.Fatalf("version %d after the trim", got[0])
	}
	if got := Entries(t, s.Store, j, 9); !slices.Equal(got, []string{"10:x", "11:on"}) {
		t.Fatalf("left %q", got)
	}
	if got := Head(t, s.Store, shardJournal(5)); got != 0 {
		t.Fatalf("another journal has head %d", got)
	}
}

func trimWhileAppending(t *testing.T, s Subject) {
	const appends = 60
	term := Begin(t, s.Store)
	j := shardJournal(0)
	fill(t, s, term, j, 1)
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range appends {
			if err = appendWith(t.Context(), s.Store, term, Part(j, "x")); err != nil {
				return
			}
		}
	}()
	for deleted := 0; deleted < appends; {
		head := Head(t, s.Other, j)
		_, placeErr := s.Other.PlaceSnapshot(t.Context(), term, place(j, head))
		must(t, "place", placeErr)
		n, trimErr := s.Other.Trim(t.Context(), j, head, 7)
		must(t, "trim", trimErr)
		deleted += n
		select {
		case <-done:
			must(t, "append", err)
		default:
		}
	}
	<-done
	if got := Entries(t, s.Store, j, appends); !slices.Equal(got, []string{fmt.Sprintf("%d:x", appends+1)}) {
		t.Fatalf("left %q", got)
	}
}

func clusterIsKept(t *testing.T, s Subject) {
	c := s.Store.Cluster()
	must(t, "validate", c.Validate())
	if s.Other.Cluster() != c {
		t.Fatalf("two ways to one cluster: %+v and %+v", c, s.Other.Cluster())
	}
}
