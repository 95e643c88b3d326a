package batch

import (
	"encoding/binary"
	"io"
	"math"
)

// sourceSpaceBytes is how much of decompressed records is held at a time, where the codec
// streams.
const sourceSpaceBytes = 64 << 10

// source reads the fields of records one after another, from memory or from a
// decompressor, and holds no more of them than its space.
type source struct {
	unread []byte
	space  []byte    // what unread lies in, where r fills it
	r      io.Reader // nil: unread is all there is
	at     int64     // bytes read so far
	left   int64     // bytes that r may still give
	err    error     // of r, but for its end; ErrTooLarge when it gives more

	wanted string // the name of the header whose value is found; empty: none
	found  string
}

// fill reads more behind what is unread. It returns false at the end and on an error.
func (s *source) fill() bool {
	if s.r == nil || s.err != nil {
		return false
	}
	n := copy(s.space, s.unread)
	read, err := 0, error(nil)
	for read == 0 && err == nil {
		read, err = s.r.Read(s.space[n:])
	}
	s.unread = s.space[:n+read]
	if s.left -= int64(read); s.left < 0 {
		s.err = ErrTooLarge
		return false
	}
	if err != nil {
		if err != io.EOF {
			s.err = err
		}
		s.r = nil
	}
	return read > 0
}

// varint reads a zigzag varint of at most bytesMax bytes.
func (s *source) varint(bytesMax int) (int64, bool) {
	if len(s.unread) > 0 && s.unread[0] < 0x80 { // most are this short
		v := s.unread[0]
		s.unread = s.unread[1:]
		s.at++
		return int64(v>>1) ^ -int64(v&1), true
	}
	for {
		v, n := binary.Varint(s.unread)
		if n > 0 && n <= bytesMax {
			s.unread = s.unread[n:]
			s.at += int64(n)
			return v, true
		}
		if n != 0 || len(s.unread) >= bytesMax || !s.fill() {
			return 0, false
		}
	}
}

// int32 reads a zigzag varint of 32 bits.
func (s *source) int32() (int64, bool) {
	v, ok := s.varint(binary.MaxVarintLen32)
	return v, ok && v >= math.MinInt32 && v <= math.MaxInt32
}

// skip passes over n bytes.
func (s *source) skip(n int64) bool {
	for n > int64(len(s.unread)) {
		n -= int64(len(s.unread))
		s.at += int64(len(s.unread))
		s.unread = nil
		if !s.fill() {
			return false
		}
	}
	s.unread = s.unread[n:]
	s.at += n
	return true
}

// field passes over a length and that many bytes. It returns the length; -1 is null.
func (s *source) field() (int64, bool) {
	n, ok := s.int32()
	if !ok || n < -1 {
		return 0, false
	}
	return n, n <= 0 || s.skip(n)
}

// peek returns the field that comes next, of bytesMax bytes at most, without passing over it.
func (s *source) peek(bytesMax int) ([]byte, bool) {
	for {
		n, size := binary.Varint(s.unread)
		if size > 0 && (n < 0 || n > int64(bytesMax)) {
			return nil, false
		}
		if size > 0 && int64(len(s.unread)-size) >= n {
			return s.unread[size : size+int(n)], true
		}
		if size < 0 || !s.fill() {
			return nil, false
		}
	}
}

// comes tells whether the field that comes next is name.
func (s *source) comes(name string) bool {
	b, ok := s.peek(len(name))
	return ok && string(b) == name
}

// value is the field that comes next, empty if it is null or longer than bytesMax.
func (s *source) value(bytesMax int) string {
	b, _ := s.peek(bytesMax)
	return string(b)
}

// done tells whether nothing follows.
func (s *source) done() bool { return len(s.unread) == 0 && !s.fill() && s.err == nil }
