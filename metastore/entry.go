package metastore

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// entryFormat is the first byte of every entry. Persisted.
const entryFormat = 1

// Header opens an entry.
type Header struct {
	Term   Term
	Number uint64 // counts the term's entries in this journal from 1 (GUARDS 11)
	Time   int64  // the writer's clock, ms since 1970 UTC; informative, guards never read it
}

// ErrCorruptEntry is wrapped by every error of decoding an entry.
var ErrCorruptEntry = errors.New("corrupt entry")

// AppendHeader appends the encoding of h to dst: format byte, then term, number
// and time as unsigned varints.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, entryFormat)
	dst = binary.AppendUvarint(dst, uint64(h.Term))
	dst = binary.AppendUvarint(dst, h.Number)
	return binary.AppendUvarint(dst, uint64(h.Time))
}

// AppendEffect appends one effect: kind, length of the body, body.
func AppendEffect(dst []byte, kind EffectKind, body []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(kind))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// Effects iterates over the effects of an entry.
type Effects struct{ rest []byte }

// ParseEntry decodes the header of an entry.
func ParseEntry(payload []byte) (Header, Effects, error) {
	if len(payload) == 0 || payload[0] != entryFormat {
		return Header{}, Effects{}, fmt.Errorf("%w: unknown entry format", ErrCorruptEntry)
	}
	d := Decoder{Rest: payload[1:]}
	h := Header{Term: Term(d.Uvarint()), Number: d.Uvarint(), Time: int64(d.Uvarint())}
	if d.Err != nil {
		return Header{}, Effects{}, d.Err
	}
	return h, Effects{rest: d.Rest}, nil
}

// Next returns the next effect; ok is false at the end. The body aliases the entry.
func (e *Effects) Next() (kind EffectKind, body []byte, ok bool, err error) {
	if len(e.rest) == 0 {
		return 0, nil, false, nil
	}
	d := Decoder{Rest: e.rest}
	kind = EffectKind(d.Uvarint())
	body = d.Bytes()
	if d.Err != nil {
		return 0, nil, false, d.Err
	}
	e.rest = d.Rest
	return kind, body, true, nil
}

// Decoder reads the varint coding that entries and snapshots share. After the
// first error every read returns zero and Err stays set.
type Decoder struct {
	Rest []byte
	Err  error
}

// Fail records the first error.
func (d *Decoder) Fail(what string) {
	if d.Err == nil {
		d.Err = fmt.Errorf("%w: %s", ErrCorruptEntry, what)
		d.Rest = nil
	}
}

// Uvarint reads an unsigned varint.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.Rest)
	if n <= 0 {
		d.Fail("varint")
		return 0
	}
	d.Rest = d.Rest[n:]
	return v
}

// Varint reads a zigzag varint.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.Rest)
	if n <= 0 {
		d.Fail("varint")
		return 0
	}
	d.Rest = d.Rest[n:]
	return v
}

// Count reads the length of a list whose elements take at least size bytes each,
// and fails when the bytes that remain can't hold it (I8).
func (d *Decoder) Count(size int) int {
	n := d.Uvarint()
	if d.Err == nil && n > uint64(len(d.Rest)/size) {
		d.Fail("count beyond the end")
		return 0
	}
	return int(n)
}

// Bytes reads a length and that many bytes, which alias the input.
func (d *Decoder) Bytes() []byte { return d.Fixed(int(min(d.Uvarint(), 1<<31))) }

// Fixed reads n bytes, which alias the input.
func (d *Decoder) Fixed(n int) []byte {
	if d.Err != nil || n > len(d.Rest) {
		d.Fail("length beyond the end")
		return nil
	}
	b := d.Rest[:n:n]
	d.Rest = d.Rest[n:]
	return b
}

// String reads a length and that many bytes.
func (d *Decoder) String() string { return string(d.Bytes()) }

// AppendBytes appends a length and b, which Decoder.Bytes and String read.
func AppendBytes[T []byte | string](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}
