package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Rules are what each record of a produced batch must obey, beside being one.
type Rules struct {
	Keyed                bool  // a record without a key is at fault
	AnyTime              bool  // timestamps aren't looked at: the broker gives its own
	Earliest, Latest     int64 // ms; a record that has no timestamp (-1) passes
	DecompressedBytesMax int
	FaultsMax            int    // of the faults that are told
	Header               string // of the first record: Header returns its value; empty: none is looked for
}

// Fault is a record that the rules refuse.
type Fault struct {
	Index     int32 // of the record in its batch
	Timestamp int64 // ms; out of bounds, unless the key is what is missing
	NoKey     bool
}

// Inspector walks over the records of produced batches, without keeping or copying them.
// It reuses its decompressors, so it takes no memory for a batch once it is warm; it is
// one goroutine's at a time.
type Inspector struct {
	source source
	input  bytes.Reader
	gzip   *gzip.Reader
	lz4    *lz4.Reader
	snappy snappyReader
	zstd   *zstd.Decoder
	whole  []byte // what zstd decompressed, which has no bounded window
	limit  int    // that zstd was made for
	faults []Fault
	header string
}

// headerValueBytesMax bounds the value of Rules.Header that is returned.
const headerValueBytesMax = 128

// Header returns the value of Rules.Header in the first record of the batch inspected
// last, empty if there is none or it is longer than 128 bytes.
func (in *Inspector) Header() string { return in.header }

// inspectorKeptBytesMax bounds each of the buffers that an Inspector keeps between batches.
const inspectorKeptBytesMax = 4 << 20

// Inspect walks over the records of b, one whole batch that Check took, whose header is
// h. It returns the largest timestamp of them, which may not be the header's, and the
// first records that break the rules; the faults are the Inspector's until its next batch.
//
// The records must be as many as the header says, whole, with offset deltas 0, 1, 2 …,
// and nothing may follow them; else the error is ErrInvalid, or ErrTooLarge.
func (in *Inspector) Inspect(b []byte, h Header, rules Rules) (maxTimestamp int64, faults []Fault, err error) {
	in.faults, in.header = in.faults[:0], ""
	s := &in.source
	if err := in.open(s, h.Codec(), b[HeaderSize:], rules.DecompressedBytesMax); err != nil {
		return 0, nil, err
	}
	defer in.release()
	s.wanted = rules.Header
	maxTimestamp = -1
	for i := range h.Records {
		delta, keyed, fault := s.record(int64(i))
		if fault != "" {
			return 0, nil, s.failed(h.Codec(), rules.DecompressedBytesMax, fmt.Sprintf("record %d of %d: its %s", i+1, h.Records, fault))
		}
		if i == 0 && s.wanted != "" {
			in.header, s.wanted = s.found, ""
		}
		timestamp := h.FirstTimestamp + delta
		maxTimestamp = max(maxTimestamp, timestamp)
		switch {
		case rules.Keyed && !keyed:
			in.fault(Fault{Index: i, NoKey: true}, rules.FaultsMax)
		case rules.AnyTime || timestamp == -1:
		case timestamp < -1 || timestamp < rules.Earliest || timestamp > rules.Latest:
			in.fault(Fault{Index: i, Timestamp: timestamp}, rules.FaultsMax)
		}
	}
	if !s.done() {
		return 0, nil, s.failed(h.Codec(), rules.DecompressedBytesMax, "bytes follow the last record")
	}
	return maxTimestamp, in.faults, nil
}

func (in *Inspector) fault(f Fault, faultsMax int) {
	if len(in.faults) < faultsMax {
		in.faults = append(in.faults, f)
	}
}

// record passes over one record, which must have the offset delta. It returns its
// timestamp's delta, whether it has a key, and which part is at fault.
func (s *source) record(offset int64) (timestamp int64, keyed bool, fault string) {
	length, ok := s.int32()
	if !ok || length < recordSizeMin-1 {
		return 0, false, "length"
	}
	end := s.at + length
	if !s.skip(1) { // attributes, unused by Kafka
		return 0, false, "attributes"
	}
	if timestamp, ok = s.varint(binary.MaxVarintLen64); !ok {
		return 0, false, "timestamp delta"
	}
	if delta, ok := s.int32(); !ok || delta != offset {
		return 0, false, "offset delta"
	}
	key, ok := s.field()
	if !ok || s.at > end {
		return 0, false, "key"
	}
	if _, ok = s.field(); !ok || s.at > end {
		return 0, false, "value"
	}
	headers, ok := s.int32()
	if !ok || headers < 0 || headers > recordHeadersMax || headers > (end-s.at)/2 {
		return 0, false, "count of headers"
	}
	for range headers {
		named := false
		if s.wanted != "" {
			named = s.comes(s.wanted)
		}
		if name, ok := s.field(); !ok || name < 0 {
			return 0, false, "header's key"
		}
		if named {
			s.found = s.value(headerValueBytesMax)
		}
		if _, ok := s.field(); !ok || s.at > end {
			return 0, false, "header's value"
		}
	}
	if s.at != end {
		return 0, false, "length"
	}
	return timestamp, key >= 0, ""
}

// failed returns the error of records that are none.
func (s *source) failed(codec Codec, bytesMax int, what string) error {
	switch {
	case errors.Is(s.err, ErrTooLarge):
		return fmt.Errorf("%w: %v records beyond %d bytes", ErrTooLarge, codec, bytesMax)
	case s.err != nil:
		return fmt.Errorf("%w: %v: %w", ErrInvalid, codec, s.err)
	}
	return fmt.Errorf("%w: %s", ErrInvalid, what)
}

// open makes s read the records in a codec.
func (in *Inspector) open(s *source, codec Codec, records []byte, bytesMax int) (err error) {
	*s = source{space: s.space, left: int64(bytesMax)}
	if codec == None {
		s.unread = records
		return nil
	}
	if codec == Zstd {
		s.unread, err = in.unzstd(records, bytesMax)
		return err
	}
	if s.space == nil {
		s.space = make([]byte, sourceSpaceBytes)
	}
	in.input.Reset(records)
	switch codec {
	case Gzip:
		if in.gzip == nil {
			in.gzip = new(gzip.Reader)
		}
		if err := in.gzip.Reset(&in.input); err != nil {
			return fmt.Errorf("%w: %v: %w", ErrInvalid, codec, err)
		}
		s.r = in.gzip
	case LZ4:
		if in.lz4 == nil {
			in.lz4 = lz4.NewReader(&in.input)
		}
		in.lz4.Reset(&in.input)
		s.r = in.lz4
	case Snappy:
		if err := in.snappy.reset(records, bytesMax); err != nil {
			return fmt.Errorf("%w: %v: %w", ErrInvalid, codec, err)
		}
		s.r = &in.snappy
	default:
		return fmt.Errorf("%w: unknown %v", ErrInvalid, codec)
	}
	return nil
}

// unzstd decompresses all: zstd's window may be as large as what it decompresses to.
func (in *Inspector) unzstd(records []byte, bytesMax int) ([]byte, error) {
	if in.zstd == nil || in.limit != bytesMax {
		d, err := zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(bytesMax, zstdWindowBytes))))
		if err != nil {
			return nil, err
		}
		in.zstd, in.limit = d, bytesMax
	}
	out, err := in.zstd.DecodeAll(records, in.whole[:0])
	in.whole = out
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(out) > bytesMax:
		return nil, fmt.Errorf("%w: %v records beyond %d bytes", ErrTooLarge, Zstd, bytesMax)
	case err != nil:
		return nil, fmt.Errorf("%w: %v: %w", ErrInvalid, Zstd, err)
	}
	return out, nil
}

// release lets go of the batch, and of buffers that one batch made large.
func (in *Inspector) release() {
	in.source = source{space: in.source.space}
	in.input.Reset(nil)
	in.snappy.release()
	if cap(in.whole) > inspectorKeptBytesMax {
		in.whole = nil
	}
}

// SetMaxTimestamp corrects the max timestamp of a whole batch's header, and makes its
// CRC anew; the records are untouched.
func SetMaxTimestamp(b []byte, ms int64) {
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	setCRC(b)
}
