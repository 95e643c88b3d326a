package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Persisted; FORMAT.md explains them.
const (
	magicHead = "WADI"
	magicTail = "IDAW"
	// kindIngest is the kind of segments that a flush writes, kindMerged of those that
	// compaction writes.
	kindIngest = 'I'
	kindMerged = 'P'
	// version is the format that is written.
	version = 1

	headerSize  = 32
	trailerSize = 16
)

// SizeMax bounds a segment, in bytes: the shards keep positions in 32 bits.
const SizeMax = math.MaxUint32

// shardMax bounds a shard's number.
const shardMax = math.MaxInt32

// TailHint is a size in bytes that holds most segments' footers: what to read from
// the end of a segment first. See ReadFooter.
const TailHint = 64 << 10

var (
	// ErrCorrupt: not a segment, or not as it was written.
	ErrCorrupt = errors.New("corrupt segment")
	// ErrVersion: a segment of a kind or version that this code doesn't know.
	ErrVersion = errors.New("segment of an unknown version")
)

// ShortTailError says that ReadFooter needs a longer tail.
type ShortTailError struct {
	Need int64 // bytes from the end of the segment
}

func (e *ShortTailError) Error() string {
	return fmt.Sprintf("the footer takes the last %d bytes of the segment", e.Need)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendHeader appends the fixed header.
func appendHeader(dst []byte, id ID) []byte {
	at := len(dst)
	dst = append(dst, magicHead...)
	dst = append(dst, id.kind(), version, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, id.Term)
	dst = binary.BigEndian.AppendUint64(dst, id.Number)
	dst = append(dst, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

func (id ID) kind() byte {
	if id.Merged {
		return kindMerged
	}
	return kindIngest
}

// parseHeader decodes the fixed header that b begins with, of a segment of a kind.
func parseHeader(b []byte, kind byte) (ID, error) {
	if len(b) < headerSize || string(b[:4]) != magicHead {
		return ID{}, fmt.Errorf("%w: it doesn't begin as a segment", ErrCorrupt)
	}
	if err := checkVersion([4]byte(b[4:8]), kind); err != nil {
		return ID{}, err
	}
	if crc32.Checksum(b[:headerSize-4], castagnoli) != binary.BigEndian.Uint32(b[headerSize-4:]) {
		return ID{}, fmt.Errorf("%w: the header's checksum", ErrCorrupt)
	}
	return ID{Term: binary.BigEndian.Uint64(b[8:]), Number: binary.BigEndian.Uint64(b[16:]), Merged: kind == kindMerged}, nil
}

// checkVersion takes the kind, the version and two bytes of flags, which version 1 has none of.
func checkVersion(b [4]byte, kind byte) error {
	if b != [4]byte{kind, version} {
		return fmt.Errorf("%w: kind %q, version %d, flags %x", ErrVersion, b[0], b[1], b[2:])
	}
	return nil
}

// appendInfo appends the part of the footer that comes before the runs.
func appendInfo(dst []byte, info Info) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(info.Cluster)))
	dst = append(dst, info.Cluster...)
	dst = binary.AppendUvarint(dst, info.ID.Term)
	dst = binary.AppendUvarint(dst, info.ID.Number)
	dst = binary.AppendUvarint(dst, info.Flush)
	dst = binary.AppendVarint(dst, info.Written)
	dst = binary.AppendUvarint(dst, uint64(len(info.Fates)))
	for _, fate := range info.Fates {
		dst = binary.AppendUvarint(dst, uint64(fate.Journal))
		dst = binary.AppendUvarint(dst, fate.Number)
		dst = binary.AppendUvarint(dst, fate.Version)
	}
	return dst
}

// appendTrailer appends the trailer of a footer that begins at position footer.
func appendTrailer(dst []byte, footer int, kind byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(dst)-footer))
	dst = append(dst, kind, version, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[footer:], castagnoli))
	return append(dst, magicTail...)
}
