package journaltest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

func readEmpty(t *testing.T, s Subject) {
	tail := readOne(t, s.Store, shardJournal(0), 0, 1<<20)
	if tail.Head != 0 || tail.Entries != nil || tail.Trimmed {
		t.Fatalf("an empty journal reads as %+v", tail)
	}
	tails, err := s.Store.Read(t.Context(), nil, 1<<20)
	must(t, "read nothing", err)
	if len(tails) != 0 {
		t.Fatalf("read of nothing gave %v", tails)
	}
}

func readBytesBound(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(5)
	for _, size := range []int{10, 10, 10, 50, 10, 5} {
		Append(t, s.Store, term, metastore.AppendPart{Journal: j, Payload: bytes.Repeat([]byte{'x'}, size)})
	}
	for _, c := range []struct {
		after    metastore.Version
		bytesMax int
		want     int
	}{
		{0, 0, 1}, {0, 9, 1}, {0, 10, 1}, {0, 19, 1}, {0, 20, 2}, {0, 30, 3}, {0, 79, 3}, {0, 80, 4}, {0, 1 << 20, 6},
		{2, 30, 1}, {3, 30, 1}, {3, 50, 1}, {3, 60, 2}, {4, 15, 2}, {6, 15, 0}, {6, 0, 0},
	} {
		if got := len(readOne(t, s.Store, j, c.after, c.bytesMax).Entries); got != c.want {
			t.Errorf("after %d with %d bytes: %d entries, want %d", c.after, c.bytesMax, got, c.want)
		}
	}
	// The bound is each journal's own.
	k := shardJournal(6)
	Append(t, s.Store, term, metastore.AppendPart{Journal: k, Payload: bytes.Repeat([]byte{'y'}, 25)})
	tails, err := s.Store.Read(t.Context(), []metastore.Position{{Journal: j}, {Journal: k}}, 30)
	must(t, "read two", err)
	if len(tails[0].Entries) != 3 || len(tails[1].Entries) != 1 {
		t.Fatalf("%d and %d entries", len(tails[0].Entries), len(tails[1].Entries))
	}
}

// readManyEntries passes every bound on rows that a store may have of its own.
func readManyEntries(t *testing.T, s Subject) {
	const entries, writers = 1100, 4
	j := shardJournal(0)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		term := Begin(t, s.Store)
		wg.Go(func() {
			for range entries / writers {
				if errs[w] = appendWith(t.Context(), s.Store, term, Part(j, "x")); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	must(t, "append", errors.Join(errs...))
	got := Entries(t, s.Store, j, 0)
	if len(got) != entries || got[entries-1] != fmt.Sprintf("%d:x", entries) {
		t.Fatalf("%d entries, the last is %q", len(got), got[len(got)-1])
	}
}

func readOrderOfPositions(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	for shard := range 4 {
		for n := range 3 {
			Append(t, s.Store, term, Part(shardJournal(shard), fmt.Sprintf("%d.%d", shard, n)))
		}
	}
	positions := []metastore.Position{
		{Journal: shardJournal(3), After: 1}, {Journal: shardJournal(0), After: 3},
		{Journal: metastore.CatalogJournal}, {Journal: shardJournal(1), After: 2}, {Journal: shardJournal(2), After: 7},
	}
	tails, err := s.Other.Read(t.Context(), positions, 1<<20)
	must(t, "read", err)
	var got []string
	for i, tail := range tails {
		checkTail(t, tail, positions[i], 1<<20)
		line := fmt.Sprintf("%v@%d", tail.Journal, tail.Head)
		for _, e := range tail.Entries {
			line += fmt.Sprintf(" %d:%s", e.Version, e.Payload)
		}
		got = append(got, line)
	}
	want := []string{"shard-3@3 2:3.1 3:3.2", "shard-0@3", "catalog@0", "shard-1@3 3:1.2", "shard-2@3"}
	if !slices.Equal(got, want) {
		t.Fatalf("read %q\nwant %q", got, want)
	}
}

// readOneMoment reads journals that only ever grow together.
func readOneMoment(t *testing.T, s Subject) {
	const appends = 60
	j, k := shardJournal(6), shardJournal(1)
	term := Begin(t, s.Store)
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range appends {
			if err = appendWith(t.Context(), s.Store, term, Part(k, "x"), Part(j, "x")); err != nil {
				return
			}
		}
	}()
	for last := metastore.Version(0); last < appends; {
		tails, readErr := s.Other.Read(t.Context(), []metastore.Position{{Journal: j, After: last}, {Journal: k, After: last}}, 1<<20)
		must(t, "read", readErr)
		if tails[0].Head != tails[1].Head || len(tails[0].Entries) != len(tails[1].Entries) {
			t.Fatalf("heads %d and %d in one read", tails[0].Head, tails[1].Head)
		}
		if tails[0].Head < last {
			t.Fatalf("the head went back from %d to %d", last, tails[0].Head)
		}
		last = tails[0].Head
		select {
		case <-done:
			must(t, "append", err)
		default:
		}
	}
	<-done
}

func lostTailShows(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	j := shardJournal(2)
	for range 10 {
		Append(t, s.Store, term, Part(j, "x"))
	}
	s.LoseTail(t, j, 6)
	tail := readOne(t, s.Store, j, 10, 1<<20)
	if tail.Head != 6 || len(tail.Entries) != 0 || tail.Trimmed {
		t.Fatalf("after the loss: %+v", tail)
	}
	// The store goes on from what it has; refusing that is the reader's part.
	if got := Append(t, s.Store, term, Part(j, "y")); got[0] != 7 {
		t.Fatalf("version %d", got[0])
	}
}
