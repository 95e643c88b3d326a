package batch

import "encoding/binary"

// ControlSize is the size of a control batch in bytes: a header and one record.
const ControlSize = HeaderSize + 17

// The type in the key of a control record, as Kafka numbers them.
const (
	controlAbort  = 0
	controlCommit = 1
)

// The schema versions that Kafka 4.2 writes.
const (
	controlKeyVersion = 0
	endMarkerVersion  = 0
)

// Control is a batch that ends a transaction in a partition (an EndTransactionMarker).
type Control struct {
	BaseOffset       int64
	Timestamp        int64 // ms
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Commit           bool // else it aborts
}

// AppendControl appends the batch, ControlSize bytes, as Apache Kafka's leaders
// write it (MemoryRecords.withEndTransactionMarker): the same fields give the same bytes for ever.
func AppendControl(dst []byte, c Control) []byte {
	var key [4]byte
	binary.BigEndian.PutUint16(key[0:], controlKeyVersion)
	kind := uint16(controlAbort)
	if c.Commit {
		kind = controlCommit
	}
	binary.BigEndian.PutUint16(key[2:], kind)
	var value [6]byte
	binary.BigEndian.PutUint16(value[0:], endMarkerVersion)
	binary.BigEndian.PutUint32(value[2:], uint32(c.CoordinatorEpoch))
	return Append(dst, Header{
		BaseOffset:    c.BaseOffset,
		Attributes:    attributeTransactional | attributeControl,
		ProducerID:    c.ProducerID,
		ProducerEpoch: c.ProducerEpoch,
		BaseSequence:  -1,
	}, []Record{{Offset: c.BaseOffset, Timestamp: c.Timestamp, Key: key[:], Value: value[:]}})
}
