package batch

import "fmt"

// cursor goes over the records of one batch, one after the other.
type cursor struct {
	h        Header
	d        decoder
	at       int32 // records before the next
	previous int32 // offset delta of the record before
	err      error // after it nothing follows
}

// open begins with the first record of the batch that b begins with.
func (c *cursor) open(b []byte, unpack func(codec Codec, src []byte) ([]byte, error)) {
	*c = cursor{previous: -1, d: decoder{room: c.d.room}}
	if c.h, b, _, c.err = Next(b); c.err != nil {
		return
	}
	c.d.rest = b[HeaderSize:]
	if codec := c.h.Codec(); codec != None {
		if c.d.rest, c.err = unpack(codec, c.d.rest); c.err != nil {
			return
		}
	}
	if n := c.h.Records; n < 0 || int64(n) > int64(len(c.d.rest)/recordSizeMin) {
		c.err = fmt.Errorf("%w: %d bytes can't hold %d records", ErrInvalid, len(c.d.rest), n)
	}
}

// next decodes the next record. False: there is none, or there is an error.
func (c *cursor) next(r *Record) bool {
	if c.err != nil {
		return false
	}
	if c.at == c.h.Records {
		if len(c.d.rest) > 0 {
			c.err = fmt.Errorf("%w: %d bytes follow the last record", ErrInvalid, len(c.d.rest))
		}
		return false
	}
	n, delta := quick(c.d.rest, &c.h, r)
	if n > 0 {
		c.d.rest = c.d.rest[n:]
	} else {
		*r, delta, c.err = c.d.record(&c.h) // it has headers, or a fault
	}
	if c.err == nil && (delta <= c.previous || delta > c.h.LastOffsetDelta) {
		c.err = fmt.Errorf("%w: offset delta %d after %d, the last being %d", ErrInvalid, delta, c.previous, c.h.LastOffsetDelta)
	}
	if c.at++; c.err != nil {
		c.err = fmt.Errorf("record %d of %d: %w", c.at, c.h.Records, c.err)
		return false
	}
	c.previous = delta
	return true
}

// quick decodes a record without headers as decoder.record does, in a third of the time, and returns its size. 0: it isn't
// one, or decoder.record has to say what is wrong with it. r is undefined then.
func quick(b []byte, h *Header, r *Record) (size int, delta int32) {
	length, at := zigzag(b, 0)
	if length < recordSizeMin-1 || length > int64(len(b)-at) {
		return 0, 0
	}
	size = at + int(length)
	b = b[at:size]
	r.Timestamp, at = zigzag(b, 1) // after the attributes
	offset, at := zigzag(b, at)
	if r.Timestamp += h.FirstTimestamp; h.LogAppendTime() {
		r.Timestamp = h.MaxTimestamp
	}
	r.Key, at = nullable(b, at)
	r.Value, at = nullable(b, at)
	headers, at := zigzag(b, at)
	if delta = int32(offset); headers != 0 || at != len(b) || int64(delta) != offset {
		return 0, 0
	}
	r.Offset, r.Headers = h.BaseOffset+offset, nil
	return size, delta
}

// pastAll is where a fault leaves quick: nothing is there.
const pastAll = 1 << 62

// zigzag reads a varint at at and returns where it ends.
func zigzag(b []byte, at int) (v int64, end int) {
	if at < len(b) && b[at] < 0x80 {
		return int64(b[at]>>1) ^ -int64(b[at]&1), at + 1
	}
	return zigzagLong(b, at)
}

func zigzagLong(b []byte, at int) (v int64, end int) {
	if at+1 < len(b) && b[at+1] < 0x80 {
		u := uint64(b[at]&0x7f) | uint64(b[at+1])<<7
		return int64(u>>1) ^ -int64(u&1), at + 2
	}
	u := uint64(0)
	for shift := 0; at < len(b) && shift < 63; shift += 7 { // nine bytes; the tenth is decoder.record's
		u |= uint64(b[at]&0x7f) << shift
		if at++; b[at-1] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	return 0, pastAll
}

// nullable reads a length and so many bytes, nil for a length of -1.
func nullable(b []byte, at int) (v []byte, end int) {
	n, at := zigzag(b, at)
	if n < 0 || at > len(b) || n > int64(len(b)-at) {
		if n != -1 {
			at = pastAll
		}
		return nil, at
	}
	end = at + int(n)
	return b[at:end:end], end
}

// headerRoomMin is for how many headers memory is taken at once.
const headerRoomMin = 1 << 10

// headerRoom is memory for records' headers. A nil one takes it from the heap for each record.
type headerRoom struct{ free []RecordHeader }

func (m *headerRoom) take(n int) []RecordHeader {
	if m == nil {
		return make([]RecordHeader, n)
	}
	if n > len(m.free) {
		m.free = make([]RecordHeader, max(n, headerRoomMin))
	}
	headers := m.free[:n:n]
	m.free = m.free[n:]
	return headers
}
