package journaltest

import (
	"errors"
	"fmt"
	"math"
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
		wantEnded(t, "renewal", store.RenewTerm(t.Context(), term, Lease, 0))
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
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), live, 0, 0))
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
	must(t, "renew", s.Other.RenewTerm(t.Context(), term, 10*Lease, 0))
	if left := leaseLeft(t, s.Store, term); left > 10*Lease || left < 5*Lease {
		t.Fatalf("%v left of %v", left, 10*Lease)
	}
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), term, 0, 0))
	if left := leaseLeft(t, s.Store, term); left > 0 {
		t.Fatalf("%v left of nothing", left)
	}
}

// settledOnlyGrows: a renewal that overtakes a later one takes nothing back.
func settledOnlyGrows(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	for _, step := range []struct{ says, want uint64 }{{0, 0}, {7, 7}, {3, 7}, {math.MaxInt64, math.MaxInt64}} {
		must(t, "renew", s.Store.RenewTerm(t.Context(), term, Lease, step.says))
		if got := listed(t, s.Other, term).Settled; got != step.want {
			t.Fatalf("%d is settled after %d was said, want %d", got, step.says, step.want)
		}
	}
	endTerm(t, s.Other, term, true, true)
	wantEnded(t, "renewal", s.Store.RenewTerm(t.Context(), term, Lease, 1))
}

func endWithoutForce(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	endTerm(t, s.Other, term, false, false)
	Append(t, s.Store, term, Part(shardJournal(0), "still alive"))
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), term, 0, 0))
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

// nodesAreLowestFree: at the same address at once, elsewhere not before clients have
// forgotten who had it.
func nodesAreLowestFree(t *testing.T, s Subject) {
	agent := metastore.AgentInfo{Process: "p1", Zone: "eu-1a", KafkaHost: "kafka.example", KafkaPort: 19092,
		Peer: "10.0.0.1:7000", Roles: metastore.RoleFetch, Level: 3}
	begin := func(wantTerm metastore.Term, wantNode int32) {
		t.Helper()
		info, err := s.Other.BeginTerm(t.Context(), agent, Lease)
		must(t, "begin", err)
		if info.Term != wantTerm || info.Node != wantNode || info.Agent != agent || info.Ended || info.Draining || info.LeaseLeft <= 0 {
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
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), 5, 0, 0))
	begin(6, 3) // an expired term holds its node until someone ends it
	begin(7, 4)
	endTerm(t, s.Store, 4, true, true)
	agent.KafkaPort = 29092
	begin(8, 5)
	agent.KafkaHost = "other.example"
	endTerm(t, s.Store, 6, true, true)
	begin(9, 6)
	agent.KafkaHost, agent.KafkaPort = "kafka.example", 19092
	begin(10, 2)
	begin(11, 3)
}

// seatsAreLowestFree: of the zone, and of what the agent is there for.
func seatsAreLowestFree(t *testing.T, s Subject) {
	begin := func(zone string, roles metastore.Roles, want int32) metastore.Term {
		t.Helper()
		info, err := s.Other.BeginTerm(t.Context(), metastore.AgentInfo{Zone: zone, Roles: roles}, Lease)
		must(t, "begin", err)
		if info.Seat != want {
			t.Fatalf("in zone %q as %v it has seat %d, want %d", zone, roles, info.Seat, want)
		}
		return info.Term
	}
	first := begin("a", metastore.RolesAll, 1)
	begin("b", metastore.RolesAll, 1)
	begin("", metastore.RolesAll, 1)
	second := begin("a", metastore.RolesAll, 2)
	begin("a", metastore.RoleCompaction, 1)
	begin("a", metastore.RolesAll, 3)
	endTerm(t, s.Store, first, true, true)
	begin("b", metastore.RolesAll, 2)
	begin("a", metastore.RolesAll, 1)
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), second, 0, 0))
	begin("a", metastore.RolesAll, 4) // an expired term holds its seat until someone ends it
	endTerm(t, s.Store, second, false, true)
	begin("a", metastore.RolesAll, 2)
	infos, err := s.Store.Terms(t.Context())
	must(t, "terms", err)
	seats := map[string]bool{}
	for _, info := range infos {
		place := fmt.Sprint(info.Agent.Zone, "/", info.Agent.Roles, "/", info.Seat)
		if seats[place] || info.Seat < 1 {
			t.Fatalf("seat %s is held twice, or is none", place)
		}
		seats[place] = true
	}
}

func listed(t *testing.T, s metastore.Store, term metastore.Term) metastore.TermInfo {
	t.Helper()
	infos, err := s.Terms(t.Context(), term)
	must(t, "terms", err)
	i := slices.IndexFunc(infos, func(i metastore.TermInfo) bool { return i.Term == term })
	if i < 0 {
		t.Fatalf("term %d is not listed", term)
	}
	return infos[i]
}

func drainingIsTold(t *testing.T, s Subject) {
	agent := metastore.AgentInfo{Process: "p", Zone: "a", KafkaHost: "h", KafkaPort: 1, Peer: "h:2", Roles: metastore.RoleIngest | metastore.RoleFetch, Level: 2}
	begun, err := s.Store.BeginTerm(t.Context(), agent, Lease)
	must(t, "begin", err)
	other := Begin(t, s.Store)
	for range 2 { // again is fine
		must(t, "drain", s.Store.DrainTerm(t.Context(), begun.Term))
		if got := listed(t, s.Other, begun.Term); !got.Draining || got.Ended || got.Agent != agent || got.Seat != begun.Seat || got.Node != begun.Node {
			t.Fatalf("listed %+v", got)
		}
	}
	if listed(t, s.Other, other).Draining {
		t.Fatal("the other one is draining too")
	}
	// What is in flight goes on.
	Append(t, s.Store, begun.Term, Part(shardJournal(0), "still served"))
	must(t, "renew", s.Store.RenewTerm(t.Context(), begun.Term, Lease, 0))
	if !listed(t, s.Other, begun.Term).Draining {
		t.Fatal("a renewal ended the draining")
	}
	endTerm(t, s.Other, begun.Term, true, true)
	wantEnded(t, "drain of an ended term", s.Store.DrainTerm(t.Context(), begun.Term))
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), other, 0, 0))
	wantEnded(t, "drain of an expired term", s.Store.DrainTerm(t.Context(), other))
	wantEnded(t, "drain of no term", s.Store.DrainTerm(t.Context(), 99))
}

func pruneRules(t *testing.T, s Subject) {
	const terms = 9
	for range terms {
		Begin(t, s.Store)
	}
	for _, term := range []metastore.Term{1, 2, 3, 5, 6, 8, 9} {
		endTerm(t, s.Store, term, true, true)
	}
	prune := func(age time.Duration, rowsMax, want int, keep ...metastore.Term) {
		t.Helper()
		n, err := s.Other.PruneTerms(t.Context(), age, keep, rowsMax)
		must(t, "prune", err)
		if n != want {
			t.Fatalf("%d terms are pruned, want %d", n, want)
		}
	}
	left := func(want ...metastore.Term) {
		t.Helper()
		infos, err := s.Store.Terms(t.Context(), 1, 2, 3, 4, 5, 6, 7, 8, 9)
		must(t, "terms", err)
		var got []metastore.Term
		for _, info := range infos {
			got = append(got, info.Term)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("left are %v, want %v", got, want)
		}
	}
	prune(time.Hour, 10, 0)
	prune(0, 0, 0)
	left(1, 2, 3, 4, 5, 6, 7, 8, 9)
	prune(0, 2, 2, 2) // the oldest that need not be kept
	left(2, 4, 5, 6, 7, 8, 9)
	prune(0, 10, 3, 2, 77)
	left(2, 4, 7, 9) // 9 is the newest: the next one follows it
	refusedEverywhere(t, s, 5)
	wantEnded(t, "drain of a pruned term", s.Store.DrainTerm(t.Context(), 5))
	if term := Begin(t, s.Store); term != terms+1 {
		t.Fatalf("the next term is %d", term)
	}
	prune(0, 10, 2)
	left(4, 7, terms+1)
	if term := Begin(t, s.Store); term != terms+2 {
		t.Fatalf("the next term is %d", term)
	}
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
		if info.Term != metastore.Term(i+1) || info.Node != int32(i+1) || info.Seat != int32(i+1) {
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
	must(t, "renew to nothing", s.Store.RenewTerm(t.Context(), 5, 0, 0))
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
