package journaltest

import (
	"errors"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

func lostTails(t *testing.T, s Subject) metastore.LostTails {
	t.Helper()
	l, ok := s.Store.(metastore.LostTails)
	if !ok {
		t.Fatalf("%T does not keep lost tails", s.Store)
	}
	return l
}

// wantLost demands a refusal for a lost tail.
func wantLost(t *testing.T, err error, j metastore.JournalID, head, seen metastore.Version) {
	t.Helper()
	var lost *metastore.LostTailError
	if !errors.As(err, &lost) || *lost != (metastore.LostTailError{Journal: j, Head: head, Seen: seen}) {
		t.Fatalf("error %v, not the refusal of %v for a tail from %d to %d", err, j, head, seen)
	}
	if !errors.Is(err, metastore.ErrStopped) {
		t.Fatalf("%v doesn't stop its journal", err)
	}
}

// lostTailIsMarked follows a journal from the loss of its tail to its recovery.
func lostTailIsMarked(t *testing.T, s Subject) {
	ctx, tails := t.Context(), lostTails(t, s)
	term := Begin(t, s.Store)
	j, whole := shardJournal(2), shardJournal(3)
	for range 10 {
		Append(t, s.Store, term, Part(j, "x"), Part(whole, "x"))
	}
	mark := func(seen metastore.Version, want int) {
		t.Helper()
		n, err := tails.MarkLost(ctx, metastore.Evidence{Seen: map[metastore.JournalID]metastore.Version{j: seen, whole: 10}})
		must(t, "mark", err)
		if n != want {
			t.Fatalf("%d journals marked, want %d", n, want)
		}
	}
	mark(10, 0) // it is all there
	s.LoseTail(t, j, 6)
	mark(10, 1)
	mark(9, 0)
	mark(12, 1) // a later one was seen, too
	lost, err := tails.LostTails(ctx)
	must(t, "list", err)
	if len(lost) != 1 || lost[0].Journal != j || lost[0].Head != 6 || lost[0].Seen != 12 || lost[0].FoundAt.IsZero() ||
		!slices.Contains(lost[0].Terms, term) {
		t.Fatalf("marked: %+v", lost)
	}
	for _, store := range []metastore.Store{s.Store, s.Other} {
		wantLost(t, appendWith(ctx, store, term, Part(whole, "y"), Part(j, "y")), j, 6, 12)
		if tail := readOne(t, store, j, 0, 1<<20); tail.Lost != 12 || tail.Head != 6 || len(tail.Entries) != 6 {
			t.Fatalf("its tail: %+v", tail)
		}
		if tail := readOne(t, store, whole, 10, 1<<20); tail.Lost != 0 || tail.Head != 10 {
			t.Fatalf("another's tail: %+v", tail)
		}
	}
	Append(t, s.Store, term, Part(whole, "y")) // the others go on

	recovery := Begin(t, s.Other)
	wantOther(t, "end of a recovery that never began", tails.TailRecovered(ctx, recovery, j))
	wantOther(t, "recovery of a whole journal", tails.RecoverTail(ctx, recovery, whole))
	must(t, "begin to recover", tails.RecoverTail(ctx, recovery, j))
	wantLost(t, appendWith(ctx, s.Store, term, Part(j, "y")), j, 6, 12)
	if got := Append(t, s.Other, recovery, Part(j, "again")); got[0] != 7 {
		t.Fatalf("version %d", got[0])
	}
	wantOther(t, "another term's end of it", tails.TailRecovered(ctx, term, j))
	must(t, "end the recovery", tails.TailRecovered(ctx, recovery, j))
	if got := Append(t, s.Store, term, Part(j, "y")); got[0] != 8 {
		t.Fatalf("version %d", got[0])
	}
	if tail := readOne(t, s.Store, j, 8, 1<<20); tail.Lost != 0 {
		t.Fatalf("after it: %+v", tail)
	}
	s.LoseTail(t, j, 5) // and once more
	mark(13, 1)
	wantLost(t, appendWith(ctx, s.Store, recovery, Part(j, "y")), j, 5, 13)
}

// lostTermsAreNotBegunAgain: only the bucket knows of a term that the database lost.
func lostTermsAreNotBegunAgain(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	_, err := lostTails(t, s).MarkLost(t.Context(), metastore.Evidence{
		LastTerm: term + 3, Seen: map[metastore.JournalID]metastore.Version{metastore.CatalogJournal: 1}})
	must(t, "mark", err)
	lost, err := lostTails(t, s).LostTails(t.Context())
	must(t, "list", err)
	if want := []metastore.Term{term, term + 1, term + 2, term + 3}; len(lost) != 1 || !slices.Equal(lost[0].Terms, want) {
		t.Fatalf("marked: %+v, want one of terms %v", lost, want)
	}
	if got := Begin(t, s.Other); got != term+4 {
		t.Fatalf("term %d after %d", got, term+3)
	}
}
