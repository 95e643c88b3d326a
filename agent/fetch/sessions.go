package fetch

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Sessions are the fetch sessions of this agent (KIP-227), at most SessionsMax
// with SessionPartitionsMax partitions among them. A reader that gets none, or
// whose session is evicted, sends full requests.
type Sessions struct {
	sessionsMax, partitionsMax int
	evictAfter                 time.Duration
	clock                      func() time.Time
	mu                         struct {
		sync.Mutex
		byID       map[int32]*session
		partitions int // of all sessions
		evicted    uint64
	}
}

// NewSessions returns the empty set, within the bounds of cfg.
func NewSessions(cfg Config, clock func() time.Time) *Sessions {
	s := &Sessions{sessionsMax: cfg.SessionsMax, partitionsMax: cfg.SessionPartitionsMax,
		evictAfter: cfg.SessionEvictAfter, clock: clock}
	s.mu.byID = map[int32]*session{}
	return s
}

// SessionCounts say how much is remembered, for metrics.
type SessionCounts struct {
	Sessions, Partitions int
	Evicted              uint64
}

// Counts returns the counts now.
func (s *Sessions) Counts() SessionCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SessionCounts{len(s.mu.byID), s.mu.partitions, s.mu.evicted}
}

// turn is one request's part in a session.
type turn struct {
	asks    []Ask // all partitions to be read, in order
	session *session
	epoch   int32 // of the request
	open    bool  // a session is to be opened
	byID    bool
}

// begin finds what a request asks for: its own list, or a session's with its changes.
func (s *Sessions) begin(r *Request) (turn, error) {
	if r.SessionEpoch == epochInitial || r.SessionEpoch == epochFinal {
		if r.SessionID != 0 {
			s.close(r.SessionID) // a full fetch closes the session it names
		}
		return turn{asks: r.Asks, open: r.SessionEpoch == epochInitial, byID: r.TopicIDs}, nil
	}
	s.mu.Lock()
	session := s.mu.byID[r.SessionID]
	s.mu.Unlock()
	if session == nil {
		return turn{}, ErrSessionNotFound
	}
	asks, err := session.update(r.SessionEpoch, r.TopicIDs, r.Asks, r.Forgotten)
	if err != nil {
		return turn{}, err
	}
	if len(asks) == 0 { // all was forgotten: the session ends, as in Apache Kafka
		s.close(session.id)
		return turn{}, nil
	}
	if !s.touch(session, len(asks)) {
		return turn{}, ErrSessionNotFound
	}
	return turn{asks: asks, session: session, epoch: r.SessionEpoch}, nil
}

// finish returns the session's id for the answer, 0 for none, and the partitions
// that the answer must have.
func (s *Sessions) finish(t turn, partitions []Partition) (int32, []Partition, error) {
	if t.session != nil {
		kept, err := t.session.told(t.epoch, partitions)
		return t.session.id, kept, err
	}
	if !t.open {
		return 0, partitions, nil
	}
	return s.open(t, partitions), partitions, nil
}

// open makes a session that remembers a full fetch, if there is room for it.
func (s *Sessions) open(t turn, partitions []Partition) int32 {
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.asks) > s.partitionsMax || !s.makeRoomLocked(len(t.asks), now) {
		return 0
	}
	session := &session{created: now, lastUsed: now, byID: t.byID}
	session.mu.Lock() // nobody else has it; for the helpers' sake
	defer session.mu.Unlock()
	session.mu.epoch = nextEpoch(epochInitial)
	session.mu.partitions = make(map[Key]*remembered, len(t.asks))
	for i := range t.asks {
		r := session.mu.partitions[t.asks[i].Key]
		if r == nil {
			r = session.addLocked(t.asks[i])
		} else { // named twice: the last one counts
			r.ask.Offset, r.ask.BytesMax = t.asks[i].Offset, t.asks[i].BytesMax
		}
		r.tell(&partitions[i])
	}
	session.counted = len(session.mu.partitions)
	for session.id == 0 || s.mu.byID[session.id] != nil {
		session.id = rand.Int32N(math.MaxInt32)
	}
	s.mu.byID[session.id] = session
	s.mu.partitions += session.counted
	return session.id
}

// makeRoomLocked evicts by Kafka's rules: a session unused for evictAfter, the
// longest unused first; else the smallest of those that are older than evictAfter, if it
// is no larger than the new one. Sessions leave for the partitions' bound alike.
func (s *Sessions) makeRoomLocked(partitions int, now time.Time) bool {
	for len(s.mu.byID) >= s.sessionsMax || s.mu.partitions+partitions > s.partitionsMax {
		var oldest, smallest *session
		for _, c := range s.mu.byID {
			if oldest == nil || c.lastUsed.Before(oldest.lastUsed) {
				oldest = c
			}
			if now.Sub(c.created) > s.evictAfter && (smallest == nil || c.counted < smallest.counted) {
				smallest = c
			}
		}
		switch {
		case oldest == nil:
			return false
		case now.Sub(oldest.lastUsed) > s.evictAfter:
			s.removeLocked(oldest)
		case smallest != nil && smallest.counted <= partitions:
			s.removeLocked(smallest)
		default:
			return false
		}
		s.mu.evicted++
	}
	return true
}

// touch counts a session's partitions and use. It reports false, and the session
// is gone, when it was evicted meanwhile or its partitions pass the bound.
func (s *Sessions) touch(session *session, partitions int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.byID[session.id] != session {
		return false
	}
	s.mu.partitions += partitions - session.counted
	session.counted = partitions
	session.lastUsed = s.clock()
	if s.mu.partitions > s.partitionsMax {
		s.removeLocked(session)
		s.mu.evicted++
		return false
	}
	return true
}

func (s *Sessions) close(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.mu.byID[id]; session != nil {
		s.removeLocked(session)
	}
}

func (s *Sessions) removeLocked(session *session) {
	delete(s.mu.byID, session.id)
	s.mu.partitions -= session.counted
}
