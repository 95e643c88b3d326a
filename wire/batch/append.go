package batch

import "encoding/binary"

// Append encodes a batch of at least one record, uncompressed, at the end of dst.
//
// Of h it takes the base offset, leader epoch, the attributes but for the codec,
// the producer's fields, and with LogAppendTime the max timestamp; all else is
// made from the records, whose offsets must rise from the base offset on.
func Append(dst []byte, h Header, records []Record) []byte {
	begin := len(dst)
	h.Magic = magic
	h.Attributes &^= attributeCodec
	h.FirstTimestamp = records[0].Timestamp
	if !h.LogAppendTime() {
		h.MaxTimestamp = records[0].Timestamp
		for _, r := range records {
			h.MaxTimestamp = max(h.MaxTimestamp, r.Timestamp)
		}
	}
	h.LastOffsetDelta = int32(records[len(records)-1].Offset - h.BaseOffset)
	h.Records = int32(len(records))
	dst = append(dst, make([]byte, HeaderSize)...)
	for i := range records {
		dst = appendRecord(dst, h, &records[i])
	}
	b := dst[begin:]
	h.Length = int32(len(b) - lengthFrom)
	h.put(b)
	setCRC(b)
	return dst
}

func appendRecord(dst []byte, h Header, r *Record) []byte {
	timestamp, offset := r.Timestamp-h.FirstTimestamp, r.Offset-h.BaseOffset
	size := 1 + varintSize(timestamp) + varintSize(offset) + nullableSize(r.Key) + nullableSize(r.Value) + varintSize(int64(len(r.Headers)))
	for _, header := range r.Headers {
		size += varintSize(int64(len(header.Key))) + len(header.Key) + nullableSize(header.Value)
	}
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, 0) // attributes, unused by Kafka
	dst = binary.AppendVarint(dst, timestamp)
	dst = binary.AppendVarint(dst, offset)
	dst = appendNullable(dst, r.Key)
	dst = appendNullable(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, header := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(header.Key)))
		dst = append(dst, header.Key...)
		dst = appendNullable(dst, header.Value)
	}
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func nullableSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
