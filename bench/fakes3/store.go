package fakes3

import (
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
)

// object is what is known of a key.
type object struct {
	size     int64
	crc      uint32 // CRC-32C of the body
	modified time.Time
	body     []byte // nil once it was dropped
	readers  int    // of the body, which isn't used again meanwhile
}

// store keeps objects. Bodies below a prefix are dropped, the oldest first, beyond a bound,
// and their memory is used again, so that a long run touches no new memory.
type store struct {
	keepBytes  int64
	dropPrefix string

	mu struct {
		sync.Mutex
		objects map[string]*object
		kept    int64      // bytes of bodies that may be dropped
		order   []string   // keys whose bodies may be dropped, the oldest first
		free    [][][]byte // by the power of two of their capacity
	}
}

// The bounds of bodies, as powers of two.
const (
	bodyBitsMin = 12
	bodyBitsMax = 30
	freeMax     = 16 // buffers kept of each size
)

func newStore(keepBytes int64, dropPrefix string) *store {
	s := &store{keepBytes: keepBytes, dropPrefix: dropPrefix}
	s.mu.objects = map[string]*object{}
	s.mu.free = make([][][]byte, bodyBitsMax+1)
	return s
}

func classOf(size int64) int { return max(bodyBitsMin, bits.Len64(uint64(max(size, 1)-1))) }

// buffer lends memory for a body.
func (s *store) buffer(size int64) []byte {
	class := classOf(size)
	s.mu.Lock()
	free := s.mu.free[class]
	if n := len(free); n > 0 {
		b := free[n-1]
		s.mu.free[class] = free[:n-1]
		s.mu.Unlock()
		return b[:size]
	}
	s.mu.Unlock()
	return make([]byte, size, 1<<class)
}

func (s *store) releaseLocked(b []byte) {
	if cap(b) < 1<<bodyBitsMin {
		return
	}
	if class := classOf(int64(cap(b))); len(s.mu.free[class]) < freeMax {
		s.mu.free[class] = append(s.mu.free[class], b)
	}
}

func (s *store) release(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseLocked(b)
}

// put keeps a body, whose memory is the store's from then on; false: the key is taken and may not be.
func (s *store) put(key string, body []byte, crc uint32, create bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.mu.objects[key]
	if old != nil && create {
		s.releaseLocked(body)
		return false
	}
	if old != nil {
		s.dropLocked(key, old)
	}
	s.mu.objects[key] = &object{size: int64(len(body)), crc: crc, modified: time.Now(), body: body}
	if !strings.HasPrefix(key, s.dropPrefix) {
		return true
	}
	s.mu.kept += int64(len(body))
	s.mu.order = append(s.mu.order, key)
	for s.mu.kept > s.keepBytes && len(s.mu.order) > 0 {
		oldest := s.mu.order[0]
		s.mu.order = s.mu.order[1:]
		if o := s.mu.objects[oldest]; o != nil {
			s.dropLocked(oldest, o)
		}
	}
	return true
}

// dropLocked lets go of a body.
func (s *store) dropLocked(key string, o *object) {
	if o.body == nil {
		return
	}
	if strings.HasPrefix(key, s.dropPrefix) {
		s.mu.kept -= o.size
	}
	if o.readers == 0 {
		s.releaseLocked(o.body)
	} // else the collector of garbage takes it
	o.body = nil
}

// open returns an object with its body, which done gives back; found is false without one.
func (s *store) open(key string) (o object, done func(), found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.mu.objects[key]
	if kept == nil {
		return object{}, nil, false
	}
	kept.readers++
	return *kept, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		kept.readers--
	}, true
}

func (s *store) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.objects[key] != nil
}

func (s *store) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.mu.objects[key]; o != nil {
		s.dropLocked(key, o)
		delete(s.mu.objects, key)
	}
}

// listed is an object in a list.
type listed struct {
	Key  string
	Size int64
	Time time.Time
}

// list returns up to limit objects after a key, in order, and whether there are more.
func (s *store) list(prefix, after string, limit int) (found []listed, more bool) {
	s.mu.Lock()
	for key, o := range s.mu.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			found = append(found, listed{key, o.size, o.modified})
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, func(a, b listed) int { return strings.Compare(a.Key, b.Key) })
	if len(found) > limit {
		return found[:limit], true
	}
	return found, false
}
