package fetch

import (
	"math"
	"strings"
	"sync"
	"time"
)

// Topic names a topic as the request did: by name up to version 12, by id from 13 on.
type Topic struct {
	Name string
	ID   [16]byte
}

// Key names a partition as the request did.
type Key struct {
	Topic     Topic
	Partition int32
}

// Ask is what a reader wants of one partition.
type Ask struct {
	Key
	Offset       int64
	BytesMax     int32
	CurrentEpoch int32 // leader epoch the reader knows, -1 for none
	LastEpoch    int32 // leader epoch of the last record it has, -1 for none
}

// The session epochs with a meaning of their own (KIP-227).
const (
	epochInitial = 0  // a full fetch that opens a session
	epochFinal   = -1 // a full fetch that closes it, or wants none
)

// nextEpoch follows epoch: after 2³¹−1 comes 1, since 0 opens a session.
func nextEpoch(epoch int32) int32 {
	switch {
	case epoch < 0:
		return epochFinal
	case epoch == math.MaxInt32:
		return 1
	}
	return epoch + 1
}

// session remembers what a reader asks for and what it has been told.
type session struct {
	id       int32
	byID     bool // topics are named by id
	created  time.Time
	lastUsed time.Time // Sessions.mu guards it
	counted  int       // partitions counted in Sessions; Sessions.mu guards it
	mu       struct {
		sync.Mutex
		epoch       int32 // that the next request must have
		partitions  map[Key]*remembered
		first, last *remembered // in the order they are read
	}
}

// remembered is one partition of a session.
type remembered struct {
	ask           Ask
	highWatermark int64 // as last told; -1 after an error
	logStart      int64
	prev, next    *remembered
}

// pushLocked appends r to the order.
func (s *session) pushLocked(r *remembered) {
	r.prev, r.next = s.mu.last, nil
	if s.mu.last == nil {
		s.mu.first = r
	} else {
		s.mu.last.next = r
	}
	s.mu.last = r
}

func (s *session) unlinkLocked(r *remembered) {
	if r.prev == nil {
		s.mu.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		s.mu.last = r.prev
	} else {
		r.next.prev = r.prev
	}
}

// addLocked remembers a new partition. Names are cloned: the request's may alias its frame.
func (s *session) addLocked(ask Ask) *remembered {
	if s.mu.last != nil && s.mu.last.ask.Topic == ask.Topic {
		ask.Topic = s.mu.last.ask.Topic // share the name
	} else {
		ask.Topic.Name = strings.Clone(ask.Topic.Name)
	}
	r := &remembered{ask: ask, highWatermark: -1, logStart: -1}
	s.mu.partitions[ask.Key] = r
	s.pushLocked(r)
	return r
}

// update takes over what an incremental fetch changes, and returns all that it
// asks for, in the order to be read.
func (s *session) update(epoch int32, byID bool, asks []Ask, forgotten []Key) ([]Ask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.epoch != epoch {
		return nil, ErrSessionEpoch
	}
	if s.byID != byID {
		return nil, ErrSessionTopicIDs
	}
	for _, ask := range asks {
		r := s.mu.partitions[ask.Key]
		if r == nil {
			s.addLocked(ask)
			continue
		}
		ask.Key = r.ask.Key
		r.ask = ask
	}
	for _, key := range forgotten {
		if r := s.mu.partitions[key]; r != nil {
			delete(s.mu.partitions, key)
			s.unlinkLocked(r)
		}
	}
	s.mu.epoch = nextEpoch(epoch)
	all := make([]Ask, 0, len(s.mu.partitions))
	for r := s.mu.first; r != nil; r = r.next {
		all = append(all, r.ask)
	}
	return all, nil
}

// told keeps of the partitions those that the reader must hear of, remembers what
// it hears, and moves those with records to the end of the order, so that each has
// its turn at being first.
func (s *session) told(epoch int32, partitions []Partition) ([]Partition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.epoch != nextEpoch(epoch) {
		return nil, ErrSessionEpoch // another request of the session overtook this one
	}
	kept := partitions[:0]
	for i := range partitions {
		p := &partitions[i]
		r := s.mu.partitions[p.Key]
		if r != nil && !r.tell(p) {
			continue
		}
		if r != nil && p.Bytes > 0 {
			s.unlinkLocked(r)
			s.pushLocked(r)
		}
		kept = append(kept, *p)
	}
	return kept, nil
}

// tell reports whether the answer says anything new, and remembers it.
func (r *remembered) tell(p *Partition) bool {
	news := p.Bytes > 0 || p.Err != nil || p.Diverging || p.Preferred != 0 ||
		r.highWatermark != p.HighWatermark || r.logStart != p.LogStart
	r.highWatermark, r.logStart = p.HighWatermark, p.LogStart
	if p.Err != nil {
		r.highWatermark = -1 // so that the end of the error is news
	}
	return news
}
