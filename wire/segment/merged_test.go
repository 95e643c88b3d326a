package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/wire/batch"
)

var mergedInfo = MergedInfo{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", ID: ID{Term: 7, Number: 42, Merged: true}, Written: 1_795_429_680_123, Shard: 63}

// goldenMerged is what the golden files hold; a change of these bytes is a new version.
func goldenMerged() map[string][]byte {
	var b MergedBuilder
	b.Begin(nil, MergedInfo{Cluster: "c", ID: ID{Term: 1, Number: 1, Merged: true}})
	empty, _ := b.Finish()
	b.Begin(nil, mergedInfo)
	b.Open(topicA, 5, 3, 1000)
	b.Add(1000, aBatch(10, "one"))
	b.Add(1010, batch.AppendControl(nil, batch.Control{BaseOffset: 1010, Timestamp: 1_795_429_680_000, ProducerID: 9, ProducerEpoch: 1, CoordinatorEpoch: 2}))
	b.Add(1020, aBatch(2, "after a hole"))
	b.Close(1030, []Aborted{{Producer: 9, First: 990, Last: 1010}, {Producer: 8, First: 1021, Last: 5000}})
	b.Open(topicB, 6, 0, 0)
	b.Add(5, aBatch(1, string(bytes.Repeat([]byte("large "), BlockBytes/30))))
	b.Add(6, aBatch(3, "the second block"))
	b.Close(9, nil)
	b.Open(topicB, 6, 64, 10)
	b.Close(20, nil) // compaction left nothing
	full, _ := b.Finish()
	b.Begin(nil, mergedInfo)
	b.Open(topicA, 5, 3, 1000)
	b.Compacted()
	b.Add(1004, batch.Emptied(aBatch(10, "one")))
	b.Close(1030, nil)
	cleaned, _ := b.Finish()
	return map[string][]byte{"merged-empty": empty, "merged-full": full, "merged-compacted": cleaned}
}

func TestMerged_Golden(t *testing.T) {
	for name, body := range goldenMerged() {
		t.Run(name, func(t *testing.T) {
			s, err := ParseMerged(body)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(); err != nil {
				t.Error(err)
			}
			if again := rebuild(s); !bytes.Equal(again, body) {
				t.Error("built again it is another")
			}
			if _, err := Parse(body); !errors.Is(err, ErrVersion) {
				t.Errorf("taken for an ingest segment: %v", err)
			}
			var out bytes.Buffer
			if err := Dump(&out, body, false); err != nil {
				t.Error(err)
			}
			golden(t, name+".v1.dump", out.Bytes())
			if len(body) < 10_000 {
				golden(t, name+".v1.segment", body)
				return
			}
			sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli))
			golden(t, name+".v1.crc", sum)
		})
	}
}

// rebuild builds a segment from what was parsed of it.
func rebuild(s *MergedSegment) []byte {
	var b MergedBuilder
	b.Begin(nil, s.MergedInfo)
	for i := range s.Extents {
		e := &s.Extents[i]
		b.Open(e.Topic, e.Number, e.Partition, e.Base)
		if e.Index.Compacted {
			b.Compacted()
		}
		for data := s.Bytes(e); len(data) > 0; {
			h, one, rest, _ := batch.Next(data)
			b.Add(h.BaseOffset, one)
			data = rest
		}
		b.Close(e.End, e.Index.Aborted)
	}
	body, _ := b.Finish()
	return body
}

func TestMerged_ExtentsAreWhatIsParsed(t *testing.T) {
	var b MergedBuilder
	b.Begin(nil, mergedInfo)
	b.Open(topicA, 5, 3, 7)
	b.Add(7, aBatch(10, "one"))
	if n := b.Close(17, []Aborted{{1, 2, 9}}); n > 32 {
		t.Errorf("%d bytes of index", n)
	}
	body, extents := b.Finish()
	s, err := ParseMerged(body)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.Extents, extents) {
		t.Errorf("built %+v\nparsed %+v", extents, s.Extents)
	}
	e := &extents[0]
	x, err := ParseIndex(e.Coded, e.Base, e.End, e.Length)
	if err != nil || !reflect.DeepEqual(*x, e.Index) {
		t.Errorf("index %+v, %v", x, err)
	}
	for name, f := range map[string]func() (*Index, error){
		"another length": func() (*Index, error) { return ParseIndex(e.Coded, e.Base, e.End, e.Length+1) },
		"short":          func() (*Index, error) { return ParseIndex(e.Coded[:len(e.Coded)-1], e.Base, e.End, e.Length) },
		"long": func() (*Index, error) {
			return ParseIndex(append(e.Coded[:len(e.Coded):len(e.Coded)], 0), e.Base, e.End, e.Length)
		},
		"none": func() (*Index, error) { return ParseIndex(nil, e.Base, e.End, e.Length) },
	} {
		if _, err := f(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every flipped bit is found.
func TestMerged_Damaged(t *testing.T) {
	var b MergedBuilder
	b.Begin(nil, mergedInfo)
	b.Open(topicA, 5, 3, 1000)
	b.Add(1000, aBatch(2, "one"))
	b.Add(1002, aBatch(2, "two"))
	b.Close(1004, nil)
	body, _ := b.Finish()
	for i := range body {
		damaged := bytes.Clone(body)
		damaged[i] ^= 1 << (i % 8)
		s, err := ParseMerged(damaged)
		if err == nil {
			err = s.Verify()
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d: %v", i, err)
		}
		if Dump(&bytes.Buffer{}, damaged, true) == nil {
			t.Fatalf("byte %d: dumped as if whole", i)
		}
	}
}

func TestMerged_Misuse(t *testing.T) {
	for name, f := range map[string]func(b *MergedBuilder){
		"a batch below the extent":  func(b *MergedBuilder) { b.Open(topicA, 1, 0, 5); b.Add(4, aBatch(1, "x")) },
		"a batch over another":      func(b *MergedBuilder) { b.Open(topicA, 1, 0, 5); b.Add(5, aBatch(2, "x")); b.Add(6, aBatch(1, "x")) },
		"a batch without an extent": func(b *MergedBuilder) { b.Add(4, aBatch(1, "x")) },
		"no batch":                  func(b *MergedBuilder) { b.Open(topicA, 1, 0, 5); b.Add(5, []byte("x")) },
		"an end below a batch":      func(b *MergedBuilder) { b.Open(topicA, 1, 0, 5); b.Add(5, aBatch(2, "x")); b.Close(6, nil) },
		"an extent left open":       func(b *MergedBuilder) { b.Open(topicA, 1, 0, 5); b.Finish() },
		"an ingest segment's id":    func(b *MergedBuilder) { b.Begin(nil, MergedInfo{ID: ID{Term: 1, Number: 1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			var b MergedBuilder
			b.Begin(nil, mergedInfo)
			f(&b)
		})
	}
}

func TestMerged_Keys(t *testing.T) {
	id := ID{Term: 7, Number: 42, Merged: true}
	if key := id.Key(); key != "partitions/0000000007/000000000042" {
		t.Error(key)
	}
	if got, ok := ParseKey(id.Key()); !ok || got != id {
		t.Errorf("%v, %t", got, ok)
	}
	if _, ok := ParseKey("partitions/7/42"); ok {
		t.Error("a short key is taken")
	}
}

func FuzzParseMerged(f *testing.F) {
	for _, body := range goldenMerged() {
		if len(body) < 10_000 {
			f.Add(body)
		}
	}
	var b MergedBuilder
	b.Begin(nil, mergedInfo)
	b.Open(topicA, 5, 3, 1000)
	b.Add(1000, aBatch(2, "one"))
	b.Close(1004, []Aborted{{1, 2, 1003}})
	small, _ := b.Finish()
	f.Add(small)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < headerSize+trailerSize {
			return
		}
		// Behind the checksums too.
		body = bytes.Clone(body)
		copy(body, small[:8])
		binary.BigEndian.PutUint32(body[28:], crc32.Checksum(body[:28], castagnoli))
		trailer := body[len(body)-trailerSize:]
		length := binary.BigEndian.Uint32(trailer)
		if int64(length) > int64(len(body)-headerSize-trailerSize) {
			return
		}
		copy(trailer[4:], small[4:8])
		copy(trailer[12:], magicTail)
		binary.BigEndian.PutUint32(trailer[8:], crc32.Checksum(body[len(body)-trailerSize-int(length):len(body)-8], castagnoli))
		s, err := ParseMerged(body)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		for i := range s.Extents {
			e := &s.Extents[i]
			coded := AppendIndex(nil, e.Base, &e.Index)
			x, err := ParseIndex(coded, e.Base, e.End, e.Length)
			if err != nil || !reflect.DeepEqual(*x, e.Index) {
				t.Fatalf("decode and encode give %+v of %+v: %v", x, e.Index, err)
			}
		}
		_ = s.Verify()
		_ = Dump(&bytes.Buffer{}, body, true)
	})
}

// TestMerged_InParts: a segment that is taken in parts while it is built is the same.
func TestMerged_InParts(t *testing.T) {
	build := func(take func(*MergedBuilder)) ([]byte, []MergedExtent) {
		var b MergedBuilder
		b.Begin(nil, mergedInfo)
		b.Open(topicA, 5, 3, 1000)
		for i := range int64(40) {
			b.Add(1000+10*i, aBatch(10, string(bytes.Repeat([]byte("large "), BlockBytes/50))))
			take(&b)
		}
		b.Close(2000, nil)
		b.Open(topicB, 6, 0, 0)
		take(&b)
		b.Add(5, aBatch(1, "small"))
		b.Close(9, nil)
		return b.Finish()
	}
	whole, extents := build(func(*MergedBuilder) {})
	var parts []byte
	rest, same := build(func(b *MergedBuilder) { parts = append(parts, b.Take()...) })
	if !bytes.Equal(append(parts, rest...), whole) || !reflect.DeepEqual(extents, same) {
		t.Error("in parts it is another")
	}
}

// A block ends before a batch that is as much younger than its first as Roll says, up to a number of times.
func TestMerged_Rolls(t *testing.T) {
	build := func(rollMs int64, times ...int64) (first []int64) {
		var b MergedBuilder
		b.Begin(nil, mergedInfo)
		b.Open(topicA, 5, 3, 0)
		b.Roll(rollMs)
		for i, at := range times {
			b.Add(int64(i), batch.Append(nil, batch.Header{ProducerID: -1}, []batch.Record{{Timestamp: at, Value: []byte("x")}}))
		}
		b.Close(int64(len(times)), nil)
		body, _ := b.Finish()
		s, err := ParseMerged(body)
		if err == nil {
			err = s.Verify()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range s.Extents[0].Index.Blocks {
			first = append(first, block.Base)
		}
		return first
	}
	for _, c := range []struct {
		rollMs int64
		times  []int64
		want   []int64
	}{
		{0, []int64{1, 1000, 2000}, []int64{0}},
		{-1, []int64{1, 1000, 2000}, []int64{0}},
		{100, []int64{1000, 1099, 1100, 1150, 1200, 5000}, []int64{0, 2, 4, 5}},
		{100, []int64{1000, 500, 1099, 1100}, []int64{0, 3}}, // late ones end nothing
		{100, []int64{-1, 5000, -1, 6000}, []int64{0, 3}},    // nor do those without a time
		{1, []int64{math.MaxInt64, 0, math.MinInt64}, []int64{0}},
	} {
		if got := build(c.rollMs, c.times...); !slices.Equal(got, c.want) {
			t.Errorf("%v by %d: blocks from %v, want %v", c.times, c.rollMs, got, c.want)
		}
	}
	var many []int64
	for i := range int64(2000) {
		many = append(many, i*10)
	}
	if got := len(build(1, many...)); got != rolledBlocksMax {
		t.Errorf("%d blocks", got)
	}
}
