package compaction

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// keySlotBytes is the size of a keySlot.
const keySlotBytes = 24

// KeyMapBytesMin is the least Config.KeyMapBytesMax.
const KeyMapBytesMin = 1 << 9

// keyMap remembers the highest offset of each key, by 128 bits of the key's SHA-256:
// nobody can make two keys that it takes for one.
type keyMap struct {
	slots    []keySlot
	count    int
	slotsMax int
}

type keySlot struct {
	hash [2]uint64
	next int64 // the offset and 1; 0: free
}

// newKeyMap returns a map that takes at most bytesMax bytes, also while it grows: it
// begins small and doubles, the last time from half of two thirds of them.
func newKeyMap(bytesMax int64) *keyMap {
	m := &keyMap{slotsMax: int(bytesMax * 2 / 3 / keySlotBytes)}
	first := m.slotsMax
	for first/2 >= 16 && first > 1<<12 {
		first /= 2
	}
	m.slots = make([]keySlot, first)
	return m
}

// full is how many of n slots may be taken.
func full(n int) int { return n - n/8 }

// room tells whether so many more keys fit.
func (m *keyMap) room(keys int) bool { return m.count+keys <= full(m.slotsMax) }

func keyHash(key []byte) [2]uint64 {
	sum := sha256.Sum256(key)
	return [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// slot returns the key's slot, or the free one where it belongs.
func (m *keyMap) slot(hash [2]uint64) *keySlot {
	at, _ := bits.Mul64(hash[0], uint64(len(m.slots)))
	for {
		s := &m.slots[at]
		if s.next == 0 || s.hash == hash {
			return s
		}
		if at++; at == uint64(len(m.slots)) {
			at = 0
		}
	}
}

// put remembers a key's offset. There must be room.
func (m *keyMap) put(key []byte, offset int64) {
	hash := keyHash(key)
	s := m.slot(hash)
	if s.next == 0 {
		if m.count+1 > full(len(m.slots)) {
			m.grow()
			s = m.slot(hash)
		}
		m.count++
		s.hash = hash
	}
	s.next = max(s.next, offset+1)
}

func (m *keyMap) grow() {
	old := m.slots
	n := 2 * len(old)
	if 2*n > m.slotsMax {
		n = m.slotsMax // an odd bound was halved downwards
	}
	m.slots = make([]keySlot, n)
	for i := range old {
		if old[i].next != 0 {
			*m.slot(old[i].hash) = old[i]
		}
	}
}

// offset returns the highest offset remembered of a key, -1 if none.
func (m *keyMap) offset(key []byte) int64 { return m.slot(keyHash(key)).next - 1 }
