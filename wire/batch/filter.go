package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// zstdLevelDefault is the level that Kafka compresses with where no config says another.
const zstdLevelDefault = 3

// DeleteHorizon returns from when on, in ms since 1970, the batch's tombstones or its
// marker may go (KIP-534). ok is false for a batch that was not cleaned with any in it.
func (h Header) DeleteHorizon() (ms int64, ok bool) {
	if h.Attributes&attributeDeleteHorizon == 0 {
		return 0, false
	}
	return h.FirstTimestamp, true
}

// Filtered is what Filter makes of a batch.
type Filtered struct {
	Body          []byte // nil: no record is kept; the batch itself where nothing changes
	Records, Kept int
	Changed       bool
}

// Filter keeps those records of a whole checked batch that keep wants, at their offsets. Where
// tombstones are kept, or the batch is a control batch, and it has no delete horizon, it
// gets horizon, unless that is negative: as KIP-534 has it, the base timestamp is the
// horizon and the records' deltas count from there, so that readers see no difference.
//
// All else of the header stays: base offset, last offset delta, leader epoch, producer and
// sequence, codec, attributes; the max timestamp is that of the kept records, as Kafka
// has it, the CRC is new. Errors are those of Records.
func Filter(b []byte, decompressedBytesMax int, horizon int64, keep func(*Record) bool) (Filtered, error) {
	h, b, _, err := Next(b)
	if err != nil {
		return Filtered{}, err
	}
	f := Filtered{Records: int(h.Records)}
	mark := h.Control()
	var kept []Record
	for r, err := range Records(b, decompressedBytesMax) {
		if err != nil {
			return Filtered{}, err
		}
		if keep(&r) {
			kept = append(kept, r)
			mark = mark || r.Value == nil
		}
	}
	_, marked := h.DeleteHorizon()
	mark = mark && !marked && horizon >= 0
	f.Kept = len(kept)
	if f.Kept == f.Records && !mark && f.Records > 0 {
		f.Body = b
		return f, nil
	}
	f.Changed = true
	if f.Kept == 0 {
		return f, nil
	}
	if mark {
		h.Attributes |= attributeDeleteHorizon
		h.FirstTimestamp = horizon
	}
	f.Body, err = withRecords(h, kept)
	return f, err
}

// withRecords encodes a batch of h with other records; their count, the length, the max
// timestamp and the CRC are made anew.
func withRecords(h Header, records []Record) ([]byte, error) {
	size := 0
	h.Records = int32(len(records))
	if !h.LogAppendTime() {
		h.MaxTimestamp = records[0].Timestamp
	}
	for i := range records {
		if !h.LogAppendTime() {
			h.MaxTimestamp = max(h.MaxTimestamp, records[i].Timestamp)
		}
		size += len(records[i].Key) + len(records[i].Value) + 32
	}
	plain := make([]byte, 0, size)
	for i := range records {
		plain = appendRecord(plain, h, &records[i])
	}
	out := bytes.NewBuffer(make([]byte, 0, HeaderSize+len(plain)))
	out.Write(make([]byte, HeaderSize))
	if codec := h.Codec(); codec == None {
		out.Write(plain)
	} else if err := encode(out, codec, defaultLevel(codec), plain); err != nil {
		return nil, fmt.Errorf("compress %d bytes with %v: %w", len(plain), codec, err)
	}
	h.put(out.Bytes())
	return seal(out.Bytes(), h.Attributes, h.Codec()), nil
}

// defaultLevel is what Kafka compresses with where no config says another.
func defaultLevel(codec Codec) int {
	switch codec {
	case LZ4:
		return lz4LevelFast
	case Zstd:
		return zstdLevelDefault
	}
	return -1
}

// Emptied returns a batch without records in the place of a whole one: it says which
// offsets there were, as Kafka's DefaultRecordBatch.writeEmptyHeader does. Readers go on
// after its last offset.
func Emptied(b []byte) []byte {
	out := bytes.Clone(b[:HeaderSize])
	attributes := binary.BigEndian.Uint16(out[atAttributes:]) &^ attributeDeleteHorizon
	none := int64(-1)
	binary.BigEndian.PutUint64(out[atFirstTimestamp:], uint64(none))
	binary.BigEndian.PutUint32(out[atRecords:], 0)
	return seal(out, int16(attributes), None)
}
