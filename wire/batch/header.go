package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// HeaderSize is the size in bytes of a record batch's header, version 2. The
// records follow it.
const HeaderSize = 61

// Offsets of the header's fields.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21 // the CRC covers everything from here
	atLastOffsetDelta = 23
	atFirstTimestamp  = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atRecords         = 57
)

// lengthFrom is where the bytes begin that the length field counts.
const lengthFrom = 12

// magic is the only record format that Wadi stores.
const magic = 2

// Attribute bits.
const (
	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	attributeTransactional = 0x10
	attributeControl       = 0x20
	attributeDeleteHorizon = 0x40 // the first timestamp is a delete horizon (KIP-534)
	attributesProduced     = attributeCodec | attributeLogAppendTime | attributeTransactional
)

// Codec is how the records of a batch are compressed.
type Codec int8

// The codecs, as Kafka numbers them.
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec-%d", int8(c))
}

// Header is the header of a record batch, version 2, as
// https://kafka.apache.org/documentation/#recordbatch lays it out.
type Header struct {
	BaseOffset      int64
	Length          int32 // bytes after this field; see Size
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32 // CRC-32C of everything after it
	Attributes      int16
	LastOffsetDelta int32
	FirstTimestamp  int64 // ms
	MaxTimestamp    int64 // ms; of every record when LogAppendTime
	ProducerID      int64 // -1: none
	ProducerEpoch   int16
	BaseSequence    int32
	Records         int32
}

// CRCBegin is from where on a batch's CRC-32C covers it, to its end.
const CRCBegin = atAttributes

// StoredCRC returns the CRC-32C that the batch whose header b begins with says it has.
func StoredCRC(b []byte) uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// Size returns the size of the whole batch in bytes, which may pass 2³¹.
func (h Header) Size() int { return lengthFrom + int(h.Length) }

// Codec returns how the records are compressed.
func (h Header) Codec() Codec { return Codec(h.Attributes & attributeCodec) }

// LogAppendTime tells whether MaxTimestamp, set by the broker, is every record's timestamp.
func (h Header) LogAppendTime() bool { return h.Attributes&attributeLogAppendTime != 0 }

// Transactional tells whether the batch is part of a transaction.
func (h Header) Transactional() bool { return h.Attributes&attributeTransactional != 0 }

// Control tells whether the batch holds a control record, a transaction's marker.
func (h Header) Control() bool { return h.Attributes&attributeControl != 0 }

// LastOffset returns the offset of the batch's last record, or of the place
// where it was before compaction.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// LastSequence returns the sequence number of the batch's last record: the one
// after 2³¹−1 is 0. It is the base sequence where that is negative (no producer).
func (h Header) LastSequence() int32 {
	if h.BaseSequence < 0 {
		return h.BaseSequence
	}
	return int32((int64(h.BaseSequence) + int64(h.LastOffsetDelta)) & math.MaxInt32)
}

// Parse decodes the header of the batch that b begins with. It checks that b
// holds the header, the magic, and that the length is at least the header's; not
// that b holds the records.
func Parse(b []byte) (Header, error) {
	// Formats 0 and 1 have their magic at the same place, and may be shorter.
	if len(b) > atMagic && (b[atMagic] == 0 || b[atMagic] == 1) {
		return Header{}, fmt.Errorf("%w %d", ErrMagic, b[atMagic])
	}
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes hold no header", ErrCorrupt, len(b))
	}
	if b[atMagic] != magic {
		return Header{}, fmt.Errorf("%w: unknown magic %d", ErrCorrupt, int8(b[atMagic]))
	}
	h := Header{
		BaseOffset:      int64(binary.BigEndian.Uint64(b[atBaseOffset:])),
		Length:          int32(binary.BigEndian.Uint32(b[atLength:])),
		LeaderEpoch:     int32(binary.BigEndian.Uint32(b[atLeaderEpoch:])),
		Magic:           int8(b[atMagic]),
		CRC:             binary.BigEndian.Uint32(b[atCRC:]),
		Attributes:      int16(binary.BigEndian.Uint16(b[atAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:])),
		FirstTimestamp:  int64(binary.BigEndian.Uint64(b[atFirstTimestamp:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[atProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[atProducerEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[atBaseSequence:])),
		Records:         int32(binary.BigEndian.Uint32(b[atRecords:])),
	}
	if h.Length < HeaderSize-lengthFrom {
		return Header{}, fmt.Errorf("%w: a length of %d is below the header's", ErrCorrupt, h.Length)
	}
	return h, nil
}

// Size returns the size in bytes of the batch whose header b begins with, unchecked.
func Size(b []byte) int { return lengthFrom + int(int32(binary.BigEndian.Uint32(b[atLength:]))) }

// put encodes h into b, which must hold a header.
func (h Header) put(b []byte) {
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(h.BaseOffset))
	binary.BigEndian.PutUint32(b[atLength:], uint32(h.Length))
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(h.LeaderEpoch))
	b[atMagic] = byte(h.Magic)
	binary.BigEndian.PutUint32(b[atCRC:], h.CRC)
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(h.Attributes))
	binary.BigEndian.PutUint32(b[atLastOffsetDelta:], uint32(h.LastOffsetDelta))
	binary.BigEndian.PutUint64(b[atFirstTimestamp:], uint64(h.FirstTimestamp))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(h.MaxTimestamp))
	binary.BigEndian.PutUint64(b[atProducerID:], uint64(h.ProducerID))
	binary.BigEndian.PutUint16(b[atProducerEpoch:], uint16(h.ProducerEpoch))
	binary.BigEndian.PutUint32(b[atBaseSequence:], uint32(h.BaseSequence))
	binary.BigEndian.PutUint32(b[atRecords:], uint32(h.Records))
}
