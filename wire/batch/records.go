package batch

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
)

// Record is one record of a batch. Its bytes alias the batch, or the buffer that
// the batch was decompressed into.
type Record struct {
	Offset    int64
	Timestamp int64  // ms; the batch's max timestamp where that is the append time
	Key       []byte // nil: null
	Value     []byte // nil: null
	Headers   []RecordHeader
}

// RecordHeader is one header of a record.
type RecordHeader struct {
	Key   []byte // UTF-8 as Kafka has it, not checked; never null
	Value []byte // nil: null
}

// recordHeadersMax bounds the headers of one record: decoded, they take up to 24
// times their encoded size.
const recordHeadersMax = 1 << 20

// recordSizeMin is the size in bytes of the smallest record: length, attributes,
// two deltas, null key, null value, no headers.
const recordSizeMin = 7

// Next splits the batch that b begins with from the rest. Only the header's
// magic and length are checked.
func Next(b []byte) (h Header, batch, rest []byte, err error) {
	if h, err = Parse(b); err != nil {
		return Header{}, nil, nil, err
	}
	n := h.Size()
	if n > len(b) {
		return Header{}, nil, nil, fmt.Errorf("%w: %d bytes of a batch of %d", ErrCorrupt, len(b), n)
	}
	return h, b[:n:n], b[n:], nil
}

// Records iterates over the records of the batch that b begins with. The CRC is not
// checked. Records that decompress to more than decompressedBytesMax bytes are
// ErrTooLarge, as are zstd frames that want a window above it and 8 MiB (levels 20
// to 22 ask for up to 128 MiB). After an error, which comes with a zero Record, nothing follows.
//
// The records must be as many as the header says, their offset deltas rising
// (with holes, where compaction was) and none beyond the last offset delta.
func Records(b []byte, decompressedBytesMax int) iter.Seq2[Record, error] {
	return records(b, func(codec Codec, src []byte) ([]byte, error) { return decompress(codec, src, decompressedBytesMax) })
}

// records iterates over the records of the batch that b begins with.
func records(b []byte, unpack func(codec Codec, src []byte) ([]byte, error)) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var c cursor
		var r Record
		for c.open(b, unpack); c.next(&r); {
			if !yield(r, nil) {
				return
			}
		}
		if c.err != nil {
			yield(Record{}, c.err)
		}
	}
}

// decoder reads the fields of records. After the first fault every read returns zero.
type decoder struct {
	rest  []byte
	fault string
	room  *headerRoom // nil: headers are allocated one record's at a time
}

func (d *decoder) fail(what string) {
	if d.fault == "" {
		d.fault = what
	}
	d.rest = nil
}

// record decodes one record and its offset delta.
func (d *decoder) record(h *Header) (Record, int32, error) {
	in := decoder{rest: d.bytes(d.int32("length"), "record"), room: d.room}
	if d.fault != "" {
		return Record{}, 0, fmt.Errorf("%w: its %s", ErrInvalid, d.fault)
	}
	in.bytes(1, "attributes") // unused by Kafka
	timestamp := h.FirstTimestamp + in.varint("timestamp delta")
	if h.LogAppendTime() {
		timestamp = h.MaxTimestamp
	}
	delta := in.int32("offset delta")
	r := Record{
		Offset:    h.BaseOffset + int64(delta),
		Timestamp: timestamp,
		Key:       in.nullable("key"),
		Value:     in.nullable("value"),
		Headers:   in.headers(),
	}
	if in.fault == "" && len(in.rest) > 0 {
		in.fail("length")
	}
	if in.fault != "" {
		return Record{}, 0, fmt.Errorf("%w: its %s", ErrInvalid, in.fault)
	}
	return r, delta, nil
}

func (d *decoder) headers() []RecordHeader {
	n := d.int32("count of headers")
	if n < 0 || int(n) > len(d.rest)/2 || n > recordHeadersMax {
		d.fail("count of headers")
		return nil
	}
	if n == 0 {
		return nil
	}
	headers := d.room.take(int(n))
	for i := range headers {
		headers[i] = RecordHeader{Key: d.bytes(d.int32("header"), "header"), Value: d.nullable("header")}
	}
	return headers
}

// varint reads a zigzag varint of up to 64 bits.
func (d *decoder) varint(what string) int64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 { // most are this short
		v := d.rest[0]
		d.rest = d.rest[1:]
		return int64(v>>1) ^ -int64(v&1)
	}
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail(what)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// int32 reads a zigzag varint of up to 32 bits.
func (d *decoder) int32(what string) int32 {
	v := d.varint(what)
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail(what)
		return 0
	}
	return int32(v)
}

// bytes reads n bytes, never nil but after a fault.
func (d *decoder) bytes(n int32, what string) []byte {
	if d.fault != "" || n < 0 || int(n) > len(d.rest) {
		d.fail(what)
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// nullable reads a length and that many bytes; a length of -1 is nil.
func (d *decoder) nullable(what string) []byte {
	n := d.int32(what)
	if n == -1 {
		return nil
	}
	return d.bytes(n, what)
}
