package group

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func bubble(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newCluster(t)) })
}

// TestJoin_IsDelayedWhileMembersCome: the first generation waits 3 s, and so long again
// whenever a member came meanwhile.
func TestJoin_IsDelayedWhileMembersCome(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		began := time.Now()
		var joining sync.WaitGroup
		members := []*client{a.client(""), a.client(""), a.client("")}
		for i, m := range members {
			joining.Go(func() {
				time.Sleep(time.Duration(i) * 2 * time.Second)
				m.join()
			})
		}
		joining.Wait()
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("it took %v", took)
		}
		leaders := 0
		for _, m := range members {
			if m.joined.Err != nil || m.joined.Generation != 1 || m.joined.Protocol != "range" || m.joined.ProtocolType != "consumer" {
				t.Errorf("%+v", m.joined)
			}
			if len(m.joined.Members) == 3 && m.joined.Leader == m.id {
				leaders++
			}
		}
		if leaders != 1 || a.state() != "CompletingRebalance" {
			t.Errorf("%d leaders, state %s", leaders, a.state())
		}
	})
}

// TestJoin_Refusals: what Apache Kafka refuses, by its codes.
func TestJoin_Refusals(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(func(cfg *Config, _ *Deps) { cfg.GroupSizeMax = 2 })
		one, two := a.client("s-1"), a.client("")
		settle(t, one, two)
		for name, row := range map[string]struct {
			change func(*Join)
			want   error
		}{
			"no group":                  {func(j *Join) { j.Group = "" }, ErrInvalidGroupID},
			"a short session":           {func(j *Join) { j.SessionTimeout = time.Second }, ErrInvalidSession},
			"a long session":            {func(j *Join) { j.SessionTimeout = time.Hour }, ErrInvalidSession},
			"an id that nobody gave":    {func(j *Join) { j.MemberID = "x" }, ErrGroupMaxSize},
			"a third":                   {func(j *Join) { j.MemberID = "" }, ErrGroupMaxSize},
			"an id of another group":    {func(j *Join) { j.Group, j.MemberID = "h", two.id }, ErrUnknownMember},
			"another's instance":        {func(j *Join) { j.MemberID, j.Instance = two.id, "s-1" }, ErrFencedInstance},
			"an instance unknown":       {func(j *Join) { j.MemberID, j.Instance = two.id, "s-2" }, ErrUnknownMember},
			"another protocol type":     {func(j *Join) { j.MemberID, j.ProtocolType = two.id, "connect" }, ErrInconsistentProtocol},
			"a protocol unknown to one": {func(j *Join) { j.MemberID, j.Protocols = two.id, []Protocol{{Name: "sticky"}} }, ErrInconsistentProtocol},
			"no protocols":              {func(j *Join) { j.Group, j.Protocols = "h", nil; j.MemberID = "" }, ErrInconsistentProtocol},
		} {
			x := a.client("")
			x.change = row.change
			if j := x.join(); !errors.Is(j.Err, row.want) || j.Generation != -1 {
				t.Errorf("%s: %+v, want %v", name, j, row.want)
			}
		}
		if a.state() != "Stable" {
			t.Errorf("the group is %s", a.state())
		}
	})
}

// TestJoin_IDFirst: a member is given an id, and must join with it in time (KIP-394).
func TestJoin_IDFirst(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		x := a.client("")
		join := func(id string) Joined {
			x.change = func(j *Join) { j.MemberID = id }
			return a.Join(t.Context(), Join{Group: "g", MemberID: id, ClientID: "cli", SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second,
				ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}, NeedsID: true})
		}
		first := join("")
		if first.Err != ErrMemberIDRequired || !strings.HasPrefix(first.MemberID, "cli-") || first.Generation != -1 {
			t.Fatalf("%+v", first)
		}
		if a.state() != "Empty" {
			t.Errorf("the group is %s", a.state())
		}
		time.Sleep(11 * time.Second)
		if late := join(first.MemberID); late.Err != ErrUnknownMember {
			t.Errorf("too late: %+v", late)
		}
		second := join("")
		if inTime := join(second.MemberID); inTime.Err != nil || inTime.MemberID != second.MemberID {
			t.Errorf("in time: %+v", inTime)
		}
	})
}

// TestJoin_LongClientID: the id of a member whose client's is as long as can be fits into an answer.
func TestJoin_LongClientID(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		j := a.Join(t.Context(), Join{Group: "g", ClientID: strings.Repeat("c", math.MaxInt16), SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second,
			ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}}, NeedsID: true})
		if j.Err != ErrMemberIDRequired || !strings.HasPrefix(j.MemberID, "ccc") || len(j.MemberID) > math.MaxInt16 {
			t.Errorf("%v, an id of %d bytes", j.Err, len(j.MemberID))
		}
	})
}

// TestJoin_ProtocolChoice: one that all know, and that most prefer.
func TestJoin_ProtocolChoice(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		knows := func(names ...string) *client {
			x := a.client("")
			x.change = func(j *Join) {
				j.Protocols = nil
				for _, n := range names {
					j.Protocols = append(j.Protocols, Protocol{Name: n, Metadata: []byte(n)})
				}
			}
			return x
		}
		members := []*client{knows("a", "b", "c"), knows("c", "b"), knows("b", "c", "d")}
		var joining sync.WaitGroup
		for i, m := range members {
			joining.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				m.join()
			})
		}
		joining.Wait()
		for _, m := range members {
			if m.joined.Protocol != "b" {
				t.Errorf("%+v", m.joined)
			}
			for _, x := range m.joined.Members {
				if string(x.Metadata) != "b" {
					t.Errorf("%+v", x)
				}
			}
		}
	})
}

// TestJoin_Again: whoever missed the answer gets it; whoever has something new, and the
// leader, cause a rebalance.
func TestJoin_Again(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client(""), a.client("")
		settle(t, one, two)
		leader, follower := one, two
		if len(one.joined.Members) == 0 {
			leader, follower = two, one
		}
		number := follower.joined.Generation
		if j := follower.join(); j.Err != nil || j.Generation != number || len(j.Members) != 0 {
			t.Errorf("a follower with nothing new: %+v", j)
		}
		var joining sync.WaitGroup
		joining.Go(func() { leader.join() })
		synctest.Wait()
		if a.state() != "PreparingRebalance" || follower.heartbeat() != ErrRebalanceInProgress {
			t.Errorf("the group is %s", a.state())
		}
		if s := follower.sync(); s.Err != ErrRebalanceInProgress {
			t.Errorf("sync: %v", s.Err)
		}
		if err := follower.commit(7); err != nil {
			t.Errorf("a commit of the generation before: %v", err)
		}
		follower.join()
		joining.Wait()
		if leader.joined.Generation != number+1 || follower.joined.Generation != number+1 {
			t.Errorf("%+v, %+v", leader.joined, follower.joined)
		}
		if err := follower.commit(8); err != ErrRebalanceInProgress {
			t.Errorf("a commit before the sync: %v", err)
		}
		if again := leader.join(); again.Generation != number+1 || len(again.Members) != 2 {
			t.Errorf("the leader, having missed the answer: %+v", again)
		}
		joining.Go(func() { follower.sync() })
		synctest.Wait()
		follower.change = func(j *Join) { j.Protocols = []Protocol{{Name: "range", Metadata: subscription("t", "u")}} }
		joining.Go(func() { follower.join() })
		synctest.Wait()
		if a.state() != "PreparingRebalance" {
			t.Errorf("the group is %s", a.state())
		}
		leader.join()
		joining.Wait()
	})
}

// TestJoin_WhoDoesNotRejoinIsOut, after the longest rebalance time-out.
func TestJoin_WhoDoesNotRejoinIsOut(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client(""), a.client("")
		long := func(j *Join) { j.SessionTimeout = 5 * time.Minute }
		one.change, two.change = long, long
		settle(t, one, two)
		began := time.Now()
		one.change = func(j *Join) { long(j); j.Protocols = []Protocol{{Name: "range", Metadata: []byte("new")}} }
		if j := one.join(); j.Err != nil || len(j.Members) != 1 || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), j)
		}
		if err := two.heartbeat(); err != ErrUnknownMember {
			t.Errorf("the other: %v", err)
		}
	})
}

// TestJoin_NewMemberThatGaveUp: its join is timed, since it has no session.
func TestJoin_NewMemberThatGaveUp(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one := a.client("")
		one.change = func(j *Join) { j.RebalanceTimeout, j.SessionTimeout = 20*time.Minute, 20*time.Minute }
		settle(t, one)
		began := time.Now()
		two := a.client("")
		if j := two.join(); j.Err != ErrUnknownMember || time.Since(began) != 5*time.Minute {
			t.Errorf("after %v: %+v", time.Since(began), j)
		}
	})
}

// TestStatic_Replacement: a static member's successor gets its assignment at once; the
// one before it is fenced (KIP-345, KIP-814).
func TestStatic_Replacement(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client("i-1"), a.client("i-2")
		settle(t, one, two)
		leader := one
		if len(two.joined.Members) > 0 {
			leader = two
		}
		began, number, old := time.Now(), leader.joined.Generation, *leader
		leader.id = ""
		j := leader.join()
		if j.Err != nil || j.Generation != number || !j.SkipAssignment || j.Leader != j.MemberID || len(j.Members) != 2 || j.MemberID == old.id {
			t.Errorf("the leader's successor: %+v", j)
		}
		leader.joined.Members = nil // it is told to skip assigning
		if s := leader.sync(); s.Err != nil || string(s.Assignment) != "of "+old.id {
			t.Errorf("%+v", s)
		}
		if took := time.Since(began); took > time.Second || a.state() != "Stable" {
			t.Errorf("after %v the group is %s", took, a.state())
		}
		if err := old.heartbeat(); err != ErrFencedInstance {
			t.Errorf("the one before: %v", err)
		}
		if err := old.commit(1); err != ErrFencedInstance {
			t.Errorf("its commit: %v", err)
		}
		if err := leader.commit(2); err != nil {
			t.Error(err)
		}
		// The next coordinator knows the successor.
		a.stop()
		b := c.start(nil)
		leader.a, old.a = b, b
		if err := leader.heartbeat(); err != nil {
			t.Error(err)
		}
		if err := old.heartbeat(); err != ErrFencedInstance {
			t.Errorf("the one before: %v", err)
		}
	})
}

// TestStatic_WhileTheLeaderAssigns: the leader would assign to the id before, so all join again.
func TestStatic_WhileTheLeaderAssigns(t *testing.T) {
	bubble(t, func(t *testing.T, c *cluster) {
		a := c.start(nil)
		one, two := a.client("i-1"), a.client("i-2")
		var joining sync.WaitGroup
		for _, m := range []*client{one, two} {
			joining.Go(func() { m.join() })
		}
		joining.Wait()
		two.id = ""
		joining.Go(func() { two.join() })
		synctest.Wait()
		if s := one.sync(); s.Err != ErrRebalanceInProgress {
			t.Errorf("%+v", s)
		}
		one.join()
		joining.Wait()
		if one.joined.Generation != 2 || two.joined.Generation != 2 {
			t.Errorf("%+v, %+v", one.joined, two.joined)
		}
	})
}
