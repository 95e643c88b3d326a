package metastore

import (
	"bytes"
	"hash/crc32"
)

const (
	heldBytesMax   = 4 << 20 // of one journal's entries that wait for those before them
	heldEntriesMax = 4096    // of one journal
)

// held keeps entries that came before those that precede them. What finds no room
// is read from the store later.
type held struct {
	entries map[Version][]byte
	bytes   int
}

// add keeps an entry. Of two that differ at one version neither is kept, nor any
// later one: one of them is not the journal's, and a read tells which.
func (h *held) add(v Version, payload []byte) {
	if old, ok := h.entries[v]; ok {
		if !bytes.Equal(old, payload) {
			h.bytes -= len(old)
			h.entries[v] = nil
		}
		return
	}
	if len(h.entries) >= heldEntriesMax || h.bytes+len(payload) > heldBytesMax {
		return
	}
	if h.entries == nil {
		h.entries = map[Version][]byte{}
	}
	h.entries[v] = payload
	h.bytes += len(payload)
}

// take removes and returns the entry of a version, nil if it is not held.
func (h *held) take(v Version) []byte {
	payload := h.entries[v]
	h.remove(v)
	return payload
}

func (h *held) remove(v Version) {
	h.bytes -= len(h.entries[v])
	delete(h.entries, v)
}

// drop removes what is not after a version.
func (h *held) drop(through Version) {
	for v := range h.entries {
		if v <= through {
			h.remove(v)
		}
	}
}

// sumsKept is how many of the newest entries a replica can compare with one that comes again.
const sumsKept = 64

// sums are the checksums of the entries folded last. They catch a metastore that
// lost its tail and gave its versions to other entries, as far as anybody brings both.
type sums struct {
	ring [sumsKept]struct {
		version Version
		sum     uint32
	}
}

func (s *sums) put(v Version, sum uint32) {
	e := &s.ring[v%sumsKept]
	e.version, e.sum = v, sum
}

func (s *sums) at(v Version) (sum uint32, known bool) {
	e := s.ring[v%sumsKept]
	return e.sum, e.version == v && v > 0
}

func entrySum(payload []byte) uint32 {
	return crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))
}
