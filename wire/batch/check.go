package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// What a batch can be refused for. Every error of this package wraps one of them.
var (
	// ErrMagic: a message set of format 0 or 1, which Wadi does not store.
	ErrMagic = errors.New("record format")
	// ErrCorrupt: the bytes are not what was sent, or not a batch.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrInvalid: a batch that was made wrongly.
	ErrInvalid = errors.New("invalid record batch")
	// ErrTimestamp is an ErrInvalid whose fault is a timestamp or its type.
	ErrTimestamp = fmt.Errorf("%w: timestamp", ErrInvalid)
	// ErrTooLarge: the records decompress to more than the caller allows.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Check checks one whole batch as a client produces it, in one pass over the
// bytes for the CRC; the rules are those of Kafka's LogValidator that need no
// decompression. The offset, leader epoch and, without a producer id, the epoch
// and sequence may be anything: clients differ, and Kafka doesn't look either.
//
// Bytes after the batch are ErrInvalid (Kafka allows one batch a partition).
func Check(b []byte) (Header, error) {
	h, err := Parse(b)
	if err != nil {
		return Header{}, err
	}
	if err := h.checkBytes(b); err != nil {
		return Header{}, err
	}
	if h.Size() < len(b) {
		return Header{}, fmt.Errorf("%w: %d bytes follow the batch", ErrInvalid, len(b)-h.Size())
	}
	if err := h.checkProduced(); err != nil {
		return Header{}, err
	}
	return h, nil
}

// StoredEpoch is the leader epoch of every stored batch, and of every partition, for ever.
const StoredEpoch = 0

// Verify checks that b begins with a whole batch whose CRC is right, and
// returns its header: what a stored batch must hold, whoever wrote it.
func Verify(b []byte) (Header, error) {
	h, err := Parse(b)
	if err != nil {
		return Header{}, err
	}
	if err := h.checkBytes(b); err != nil {
		return Header{}, err
	}
	return h, nil
}

func (h Header) checkBytes(b []byte) error {
	if h.Size() > len(b) {
		return fmt.Errorf("%w: %d bytes of a batch of %d", ErrCorrupt, len(b), h.Size())
	}
	if crc := crc32.Checksum(b[atAttributes:h.Size()], castagnoli); crc != h.CRC {
		return fmt.Errorf("%w: CRC-32C %08x, the header says %08x", ErrCorrupt, crc, h.CRC)
	}
	return nil
}

// checkProduced holds the rules for the header of a batch that a client made.
func (h Header) checkProduced() error {
	switch {
	case h.Control():
		return fmt.Errorf("%w: a control batch from a client", ErrInvalid)
	case h.Attributes&^attributesProduced != 0:
		return fmt.Errorf("%w: unknown attributes %#x", ErrInvalid, uint16(h.Attributes))
	case h.Codec() > Zstd:
		return fmt.Errorf("%w: unknown %v", ErrInvalid, h.Codec())
	case h.Records < 1:
		return fmt.Errorf("%w: %d records", ErrInvalid, h.Records)
	case int64(h.LastOffsetDelta)+1 != int64(h.Records):
		return fmt.Errorf("%w: %d records, the last of offset delta %d", ErrInvalid, h.Records, h.LastOffsetDelta)
	case h.LogAppendTime():
		return fmt.Errorf("%w type set by a client to the log's append time", ErrTimestamp)
	case h.FirstTimestamp < -1 || h.MaxTimestamp < -1:
		return fmt.Errorf("%w: first %d, max %d", ErrTimestamp, h.FirstTimestamp, h.MaxTimestamp)
	case h.ProducerID < -1:
		return fmt.Errorf("%w: producer id %d", ErrInvalid, h.ProducerID)
	case h.ProducerID < 0 && h.Transactional():
		return fmt.Errorf("%w: transactional without a producer id", ErrInvalid)
	case h.ProducerID >= 0 && (h.ProducerEpoch < 0 || h.BaseSequence < 0):
		return fmt.Errorf("%w: producer %d with epoch %d and sequence %d", ErrInvalid, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	}
	return nil
}

// CheckEpoch checks the leader epoch of a stored batch. The CRC doesn't cover it, and a
// consumer that was given a wrong one asks where that epoch ended: there is no such epoch,
// so it begins anew.
func (h Header) CheckEpoch() error {
	if h.LeaderEpoch != StoredEpoch {
		return fmt.Errorf("%w: leader epoch %d of a stored batch", ErrCorrupt, h.LeaderEpoch)
	}
	return nil
}

// SetBaseOffset writes the base offset into a batch's header. The CRC doesn't cover it.
func SetBaseOffset(header []byte, offset int64) {
	binary.BigEndian.PutUint64(header[atBaseOffset:], uint64(offset))
}

// SetLeaderEpoch writes the leader epoch into a batch's header. The CRC doesn't cover it.
func SetLeaderEpoch(header []byte, epoch int32) {
	binary.BigEndian.PutUint32(header[atLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime gives all records of a whole batch the timestamp ms: the max
// timestamp and its attribute bit are set and the CRC made anew; the records are
// untouched, as Kafka has it.
func SetLogAppendTime(b []byte, ms int64) {
	attributes := binary.BigEndian.Uint16(b[atAttributes:]) | attributeLogAppendTime
	binary.BigEndian.PutUint16(b[atAttributes:], attributes)
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	setCRC(b)
}

// setCRC makes the CRC of a whole batch.
func setCRC(b []byte) {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
}
