package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// readAnswer reads the next answer into b, or into a larger buffer; of sizeMax bytes at most.
func readAnswer(from io.Reader, b []byte, sizeMax int) ([]byte, error) {
	if _, err := io.ReadFull(from, b[:4]); err != nil {
		return b, err
	}
	size := int(binary.BigEndian.Uint32(b))
	if size > sizeMax {
		return b, fmt.Errorf("an answer of %d bytes", size)
	}
	if size > cap(b) {
		b = make([]byte, size)
	}
	_, err := io.ReadFull(from, b[:size])
	return b[:size], err
}

// scan reads an answer; past its end it yields zeros and remembers.
type scan struct {
	b   []byte
	bad bool
}

func (s *scan) skip(n int) []byte {
	if n < 0 || n > len(s.b) {
		s.bad, s.b = true, nil
		return nil
	}
	taken := s.b[:n]
	s.b = s.b[n:]
	return taken
}

func (s *scan) int16() int16 {
	if b := s.skip(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (s *scan) int32() int32 {
	if b := s.skip(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// length is a compact length; −1 is null.
func (s *scan) length() int {
	v, n := binary.Uvarint(s.b)
	if n <= 0 || v > 1<<31 {
		s.bad, s.b = true, nil
		return 0
	}
	s.b = s.b[n:]
	return int(v) - 1
}

func (s *scan) tags() {
	for range s.length() + 1 {
		s.length()
		s.skip(s.length() + 1)
	}
}

var errAnswer = errors.New("an answer that can't be read")

// checkProduced returns the first error of an answer to Produce for so many batches.
func checkProduced(b []byte, batches int) error {
	s := scan{b: b}
	s.skip(4) // correlation id
	s.tags()
	for range s.length() {
		s.skip(s.length()) // topic
		for range s.length() {
			partition, code := s.int32(), s.int16()
			if code != 0 {
				return fmt.Errorf("partition %d: error code %d", partition, code)
			}
			batches--
			s.skip(24) // base offset, time, log start
			for range s.length() {
				s.skip(4)
				s.skip(s.length())
				s.tags()
			}
			s.skip(max(0, s.length()))
			s.tags()
		}
		s.tags()
	}
	s.int32() // throttled
	s.tags()
	if s.bad || len(s.b) > 0 || batches != 0 {
		return errAnswer
	}
	return nil
}
