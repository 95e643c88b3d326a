package journaltest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// refusedEverywhere checks that a term that is over can change nothing.
func refusedEverywhere(t *testing.T, s Subject, term metastore.Term) {
	t.Helper()
	j := shardJournal(0)
	before := Head(t, s.Store, j)
	for _, store := range []metastore.Store{s.Store, s.Other} {
		wantEnded(t, "append", appendWith(t.Context(), store, term, Part(j, "late")))
		// The end of the term is what is told, also when a strict part would lose.
		wantEnded(t, "strict append", appendWith(t.Context(), store, term, StrictPart(j, "late", before+5)))
		wantEnded(t, "renewal", store.RenewTerm(t.Context(), term, Lease))
		_, err := store.PlaceSnapshot(t.Context(), term, metastore.SnapshotPlace{Journal: j, Object: "late"})
		wantEnded(t, "snapshot", err)
	}
	if got := Head(t, s.Store, j); got != before {
		t.Fatalf("head moved from %d to %d", before, got)
	}
}

func endTerm(t *testing.T, s metastore.Store, term metastore.Term, force, want bool) {
	t.Helper()
	ended, err := s.EndTerm(t.Context(), term, force)
	must(t, "end the term", err)
	if ended != want {
		t.Fatalf("ended is %v, want %v", ended, want)
	}
}

func endedRefuses(t *testing.T, s Subject) {
	term, other := Begin(t, s.Store), Begin(t, s.Other)
	Append(t, s.Store, term, Part(shardJournal(0), "in time"))
	endTerm(t, s.Other, term, true, true)
	refusedEverywhere(t, s, term)
	endTerm(t, s.Store, term, false, true) // ended is for ever
	Append(t, s.Store, other, Part(shardJournal(0), "by the living"))
}

func expiredRefuses(t *testing.T, s Subject) {
	info, err := s.Store.BeginTerm(t.Context(), metastore.AgentInfo{}, 0)
	must(t, "begin", err)
	refusedEverywhere(t, s, info.Term) // expired, though nobody has ended it
	live := Begin(t, s.Store)
	Append(t, s.Store, live, Part(shardJournal(0), "in time"))
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), live, 0))
	refusedEverywhere(t, s, live)
}

func unknownRefuses(t *testing.T, s Subject) {
	refusedEverywhere(t, s, 999)
	_, err := s.Store.EndTerm(t.Context(), 999, true)
	wantOther(t, "end of a term that was never begun", err)
}

func leaseLeft(t *testing.T, s metastore.Store, term metastore.Term) time.Duration {
	t.Helper()
	infos, err := s.Terms(t.Context(), term)
	must(t, "terms", err)
	i := slices.IndexFunc(infos, func(i metastore.TermInfo) bool { return i.Term == term })
	if i < 0 {
		t.Fatalf("term %d is not listed", term)
	}
	return infos[i].LeaseLeft
}

func renewalMovesTheEnd(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	if left := leaseLeft(t, s.Other, term); left > Lease || left < Lease/2 {
		t.Fatalf("%v left of %v", left, Lease)
	}
	must(t, "renew", s.Other.RenewTerm(t.Context(), term, 10*Lease))
	if left := leaseLeft(t, s.Store, term); left > 10*Lease || left < 5*Lease {
		t.Fatalf("%v left of %v", left, 10*Lease)
	}
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), term, 0))
	if left := leaseLeft(t, s.Store, term); left > 0 {
		t.Fatalf("%v left of nothing", left)
	}
}

func endWithoutForce(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	endTerm(t, s.Other, term, false, false)
	Append(t, s.Store, term, Part(shardJournal(0), "still alive"))
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), term, 0))
	endTerm(t, s.Other, term, false, true)
	refusedEverywhere(t, s, term)
}

// endFencesAppendsInFlight ends a term amid its appends: what EndTerm's return
// finds in the journal is all that ever comes.
func endFencesAppendsInFlight(t *testing.T, s Subject) {
	const writers = 4
	j := shardJournal(0)
	for range 5 {
		term := Begin(t, s.Store)
		errs := make([]error, writers)
		first := make(chan struct{}, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for n := 0; errs[w] == nil; n++ {
					errs[w] = appendWith(t.Context(), s.Store, term, Part(j, "x"))
					if n == 0 {
						first <- struct{}{}
					}
				}
			})
		}
		for range writers {
			<-first
		}
		endTerm(t, s.Other, term, true, true)
		atEnd := Head(t, s.Other, j)
		wg.Wait()
		for _, err := range errs {
			wantEnded(t, "append after the end", err)
		}
		if got := Head(t, s.Store, j); got != atEnd {
			t.Fatalf("head %d when the term had ended, %d later", atEnd, got)
		}
	}
}

func nodesAreLowestFree(t *testing.T, s Subject) {
	agent := metastore.AgentInfo{Process: "p1", Zone: "eu-1a", KafkaHost: "kafka.example", KafkaPort: 19092}
	begin := func(wantTerm metastore.Term, wantNode int32) {
		t.Helper()
		info, err := s.Other.BeginTerm(t.Context(), agent, Lease)
		must(t, "begin", err)
		if info.Term != wantTerm || info.Node != wantNode || info.Agent != agent || info.Ended || info.LeaseLeft <= 0 {
			t.Fatalf("begun %+v, want term %d as node %d", info, wantTerm, wantNode)
		}
	}
	begin(1, 1)
	begin(2, 2)
	begin(3, 3)
	endTerm(t, s.Store, 2, true, true)
	begin(4, 2)
	endTerm(t, s.Store, 1, true, true)
	endTerm(t, s.Store, 3, true, true)
	begin(5, 1)
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), 5, 0))
	begin(6, 3) // an expired term holds its node until someone ends it
	begin(7, 4)
}

func concurrentBegins(t *testing.T, s Subject) {
	const begins = 12
	infos := make([]metastore.TermInfo, begins)
	errs := make([]error, begins)
	var wg sync.WaitGroup
	for i := range begins {
		store := []metastore.Store{s.Store, s.Other}[i%2]
		wg.Go(func() { infos[i], errs[i] = store.BeginTerm(t.Context(), metastore.AgentInfo{}, Lease) })
	}
	wg.Wait()
	must(t, "begin", errors.Join(errs...))
	slices.SortFunc(infos, func(a, b metastore.TermInfo) int { return int(a.Term) - int(b.Term) })
	for i, info := range infos {
		if info.Term != metastore.Term(i+1) || info.Node != int32(i+1) {
			t.Fatalf("begin %d gave %+v", i+1, info)
		}
	}
}

func nowGoesOn(t *testing.T, s Subject) {
	var last time.Time
	for _, store := range []metastore.Store{s.Store, s.Other, s.Store} {
		now, err := store.Now(t.Context())
		must(t, "now", err)
		if now.Before(last) || now.IsZero() {
			t.Fatalf("now is %v, was %v", now, last)
		}
		last = now
	}
}

func listTerms(t *testing.T, s Subject) {
	for range 5 {
		Begin(t, s.Store)
	}
	endTerm(t, s.Store, 2, true, true)
	endTerm(t, s.Store, 4, true, true)
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), 5, 0))
	for _, c := range []struct{ asked, want []metastore.Term }{
		{nil, []metastore.Term{1, 3, 5}},
		{[]metastore.Term{4}, []metastore.Term{1, 3, 4, 5}},
		{[]metastore.Term{4, 2, 1, 99}, []metastore.Term{1, 2, 3, 4, 5}},
	} {
		infos, err := s.Other.Terms(t.Context(), c.asked...)
		must(t, "terms", err)
		var got []metastore.Term
		for _, info := range infos {
			got = append(got, info.Term)
			if want := info.Term == 2 || info.Term == 4; info.Ended != want {
				t.Fatalf("term %d: ended is %v", info.Term, info.Ended)
			}
			if info.Node != int32(info.Term) || info.Agent.KafkaPort != 9092 || info.Agent.Zone != "a" {
				t.Fatalf("listed %+v", info)
			}
			// What is left of an ended term's lease means nothing.
			if live := info.Term != 5; !info.Ended && live != (info.LeaseLeft > 0) {
				t.Fatalf("term %d has %v left", info.Term, info.LeaseLeft)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Fatalf("asked for %v: listed %v, want %v", c.asked, got, c.want)
		}
	}
}
