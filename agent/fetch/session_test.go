package fetch

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// told makes answers for asks; change may alter them by partition.
func answers(asks []Ask, change func(*Partition)) []Partition {
	all := make([]Partition, len(asks))
	for i := range asks {
		all[i] = Partition{Key: asks[i].Key, HighWatermark: 10, LastStable: 10}
		if change != nil {
			change(&all[i])
		}
	}
	return all
}

func sessions(change func(*Config)) *Sessions {
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	return NewSessions(cfg, time.Now)
}

// open opens a session of partitions of topic t.
func open(t *testing.T, s *Sessions, partitions ...int32) (id int32) {
	t.Helper()
	turn, err := s.begin(&Request{Asks: asks(Topic{Name: "t"}, 0, partitions...)})
	if err != nil {
		t.Fatal(err)
	}
	id, _, err = s.finish(turn, answers(turn.asks, nil))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func partitionsOf[T any](all []T, key func(T) Key) []int32 {
	ps := []int32{}
	for _, a := range all {
		ps = append(ps, key(a).Partition)
	}
	return ps
}

func equal(a []int32, b ...int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func askKey(a Ask) Key          { return a.Key }
func answerKey(p Partition) Key { return p.Key }

func TestSession_IncrementalLeavesOutWhatIsUnchanged(t *testing.T) {
	s := sessions(nil)
	id := open(t, s, 0, 1, 2)
	if id == 0 {
		t.Fatal("no session")
	}
	topic := Topic{Name: "t"}
	turn, err := s.begin(&Request{SessionID: id, SessionEpoch: 1, Asks: asks(topic, 5, 1)})
	if err != nil || !equal(partitionsOf(turn.asks, askKey), 0, 1, 2) || turn.asks[1].Offset != 5 || turn.asks[0].Offset != 0 {
		t.Fatalf("asks %+v, error %v", turn.asks, err)
	}
	_, kept, err := s.finish(turn, answers(turn.asks, func(p *Partition) {
		if p.Partition == 0 {
			p.Bytes = 1
		}
		if p.Partition == 1 {
			p.HighWatermark = 11
		}
	}))
	if err != nil || !equal(partitionsOf(kept, answerKey), 0, 1) {
		t.Fatalf("kept %v, error %v", kept, err)
	}
	// What had records has its turn last. The rest keeps its order.
	turn, err = s.begin(&Request{SessionID: id, SessionEpoch: 2, Asks: asks(topic, 0, 3), Forgotten: []Key{{topic, 2}, {topic, 9}}})
	if err != nil || !equal(partitionsOf(turn.asks, askKey), 1, 0, 3) {
		t.Fatalf("asks %+v, error %v", turn.asks, err)
	}
	// An error is told each time, and its end is news.
	_, kept, _ = s.finish(turn, answers(turn.asks, func(p *Partition) {
		if p.Partition == 1 {
			p.Err, p.HighWatermark = ErrStorage, -1
		} else {
			p.HighWatermark = 10
		}
	}))
	if !equal(partitionsOf(kept, answerKey), 1, 3) { // 3 is new
		t.Fatalf("kept %v", kept)
	}
	turn, _ = s.begin(&Request{SessionID: id, SessionEpoch: 3})
	_, kept, _ = s.finish(turn, answers(turn.asks, func(p *Partition) { p.HighWatermark = 10 }))
	if !equal(partitionsOf(kept, answerKey), 1) {
		t.Fatalf("kept %v", kept)
	}
	turn, _ = s.begin(&Request{SessionID: id, SessionEpoch: 4})
	if _, kept, _ = s.finish(turn, answers(turn.asks, func(p *Partition) { p.LogStart = int64(p.Partition % 2) })); !equal(partitionsOf(kept, answerKey), 1, 3) {
		t.Fatalf("a log start that moved is news: kept %v", kept)
	}
	turn, _ = s.begin(&Request{SessionID: id, SessionEpoch: 5})
	if _, kept, _ = s.finish(turn, answers(turn.asks, func(p *Partition) {
		p.LogStart, p.Preferred = int64(p.Partition%2), p.Partition/3*4
	})); !equal(partitionsOf(kept, answerKey), 3) {
		t.Fatalf("another agent to read from is news: kept %v", kept)
	}
}

func TestSession_Errors(t *testing.T) {
	topic := Topic{Name: "t"}
	for _, c := range []struct {
		name string
		req  func(id int32) *Request
		want error
	}{
		{"another id", func(id int32) *Request { return &Request{SessionID: id + 1, SessionEpoch: 1} }, ErrSessionNotFound},
		{"an epoch too high", func(id int32) *Request { return &Request{SessionID: id, SessionEpoch: 2} }, ErrSessionEpoch},
		{"topics by id", func(id int32) *Request { return &Request{SessionID: id, SessionEpoch: 1, TopicIDs: true} }, ErrSessionTopicIDs},
		{"all forgotten", func(id int32) *Request {
			return &Request{SessionID: id, SessionEpoch: 1, Forgotten: []Key{{topic, 0}}}
		}, nil},
	} {
		s := sessions(nil)
		id := open(t, s, 0)
		turn, err := s.begin(c.req(id))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want == nil && (len(turn.asks) != 0 || s.Counts().Sessions != 0) {
			t.Errorf("%s: asks %v, %+v", c.name, turn.asks, s.Counts())
		}
	}
}

func TestSession_OvertakenByAnotherRequest(t *testing.T) {
	s := sessions(nil)
	id := open(t, s, 0)
	first, err := s.begin(&Request{SessionID: id, SessionEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.begin(&Request{SessionID: id, SessionEpoch: 2}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.finish(first, answers(first.asks, nil)); !errors.Is(err, ErrSessionEpoch) {
		t.Errorf("error %v", err)
	}
}

func TestSession_FullFetchClosesTheOneItNames(t *testing.T) {
	for _, epoch := range []int32{epochFinal, epochInitial} {
		s := sessions(nil)
		id := open(t, s, 0)
		turn, err := s.begin(&Request{SessionID: id, SessionEpoch: epoch, Asks: asks(Topic{Name: "t"}, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		next, _, _ := s.finish(turn, answers(turn.asks, nil))
		if (next != 0) != (epoch == epochInitial) || next == id {
			t.Errorf("epoch %d: session %d after %d", epoch, next, id)
		}
		if _, err := s.begin(&Request{SessionID: id, SessionEpoch: 1}); !errors.Is(err, ErrSessionNotFound) {
			t.Errorf("epoch %d: the old session: %v", epoch, err)
		}
	}
}

func TestSession_EpochsWrap(t *testing.T) {
	for epoch, next := range map[int32]int32{0: 1, 1: 2, math.MaxInt32 - 1: math.MaxInt32, math.MaxInt32: 1, -1: -1} {
		if got := nextEpoch(epoch); got != next {
			t.Errorf("after %d comes %d", epoch, got)
		}
	}
}

func TestSessions_Eviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessions(func(c *Config) { c.SessionsMax = 2 })
		a, b := open(t, s, 0, 1), open(t, s, 0)
		if open(t, s, 0, 1, 2) != 0 {
			t.Error("a session younger than its protection was evicted")
		}
		time.Sleep(DefaultConfig().SessionEvictAfter)
		use := func(id, epoch int32) error {
			_, err := s.begin(&Request{SessionID: id, SessionEpoch: epoch})
			return err
		}
		if use(a, 1) != nil || use(b, 1) != nil {
			t.Fatal("the sessions are gone")
		}
		time.Sleep(time.Second)
		if use(a, 2) != nil || use(b, 2) != nil {
			t.Fatal("the sessions are gone")
		}
		c := open(t, s, 0) // no smaller than b, which is old enough by now
		if c == 0 || use(b, 3) == nil || use(a, 3) != nil {
			t.Error("the smallest old session was not the one to go")
		}
		if open(t, s, 0) != 0 {
			t.Error("a larger session gave way to a smaller one")
		}
		time.Sleep(DefaultConfig().SessionEvictAfter)
		if use(a, 4) != nil {
			t.Error("the session is gone")
		}
		time.Sleep(time.Second)
		if open(t, s, 0) == 0 || use(c, 1) == nil || use(a, 5) != nil {
			t.Error("the session that nobody used was not the one to go")
		}
		if n := s.Counts().Evicted; n != 2 {
			t.Errorf("%d were evicted", n)
		}
	})
}

func TestSessions_PartitionsAreBounded(t *testing.T) {
	s := sessions(func(c *Config) { c.SessionPartitionsMax = 3 })
	if open(t, s, 0, 1, 2, 3) != 0 {
		t.Error("a session larger than all may be")
	}
	id := open(t, s, 0, 1)
	if id == 0 || open(t, s, 0, 1) != 0 {
		t.Error("two sessions passed the bound of partitions")
	}
	if _, err := s.begin(&Request{SessionID: id, SessionEpoch: 1, Asks: asks(Topic{Name: "t"}, 0, 2, 3)}); !errors.Is(err, ErrSessionNotFound) {
		t.Errorf("a session that grew beyond the bound: %v", err)
	}
	if c := s.Counts(); c.Sessions != 0 || c.Partitions != 0 {
		t.Errorf("%+v", c)
	}
}
