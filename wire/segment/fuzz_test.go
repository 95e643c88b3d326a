package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
)

func FuzzParse(f *testing.F) {
	body, _ := build(full, fullRuns()[:4])
	f.Add(body)
	empty, _ := build(Info{}, nil)
	f.Add(empty)
	f.Fuzz(func(t *testing.T, b []byte) {
		parseAndCheck(t, b)
		// Behind the checksums too.
		if len(b) < headerSize+trailerSize {
			return
		}
		b = bytes.Clone(b)
		copy(b, body[:8])
		binary.BigEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
		trailer := b[len(b)-trailerSize:]
		length := binary.BigEndian.Uint32(trailer)
		if int64(length) > int64(len(b)-headerSize-trailerSize) {
			return
		}
		copy(trailer[4:], body[4:8])
		copy(trailer[12:], magicTail)
		binary.BigEndian.PutUint32(trailer[8:], crc32.Checksum(b[len(b)-trailerSize-int(length):len(b)-8], castagnoli))
		parseAndCheck(t, b)
	})
}

// parseAndCheck parses hostile bytes; what parses must be encoded to the same again.
func parseAndCheck(t *testing.T, b []byte) {
	s, err := Parse(b)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("untyped error %v", err)
		}
		return
	}
	_ = Dump(&bytes.Buffer{}, b, true)
	if s.Verify() != nil {
		return
	}
	var builder Builder
	builder.Begin(nil, s.Info)
	for i := range s.Runs {
		r := &s.Runs[i]
		for position, length := range r.Each() {
			builder.Add(r.Shard, r.Topic, r.Partition, b[position:position+int64(length)])
		}
	}
	again, err := Parse(builder.Finish())
	if err != nil {
		t.Fatal(err)
	}
	// A footer's varints may be longer than needed, so sizes may differ.
	again.Size, again.body, s.body = s.Size, nil, nil
	if !reflect.DeepEqual(again, s) {
		t.Fatalf("decode and encode give %+v of %+v", again, s)
	}
}
