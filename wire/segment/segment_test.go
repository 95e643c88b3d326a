package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/wire/batch"
)

// aBatch returns a batch of n records that says who made it.
func aBatch(n int, value string) []byte {
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{Offset: int64(i), Timestamp: 1_700_000_000_000 + int64(i), Key: []byte{'k', byte('0' + i%10)}, Value: []byte(value)}
	}
	return batch.Append(nil, batch.Header{LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records)
}

// added is one call of Add.
type added struct {
	shard     int
	topic     [16]byte
	partition int32
	data      []byte
}

func build(info Info, all []added) (body []byte, positions []int64) {
	var b Builder
	b.Begin(nil, info)
	for _, a := range all {
		positions = append(positions, b.Add(a.shard, a.topic, a.partition, a.data))
	}
	body = b.Finish()
	if want := crc32.Checksum(body, castagnoli); b.Checksum() != want {
		panic(fmt.Sprintf("the segment's CRC-32C is %08x, not %08x", want, b.Checksum()))
	}
	return body, positions
}

var (
	topicA = [16]byte{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	topicB = [16]byte{0xb0, 0xff}
	full   = Info{
		Cluster: "MkU3OEVBNTcwNTJENDM2Qg",
		ID:      ID{Term: 7, Number: 42},
		Flush:   43,
		Written: 1_795_429_680_123,
		Fates:   []Fate{{Journal: 2<<24 | 3, Number: 17, Version: 90210}, {Journal: math.MaxUint32, Number: math.MaxUint64, Version: math.MaxUint64}},
	}
)

func fullRuns() []added {
	return []added{
		{3, topicA, 0, aBatch(1, "one")},
		{3, topicA, 0, aBatch(2, "two")},
		{3, topicA, 2, aBatch(3, "three")},
		{3, topicB, 1, aBatch(1, "four")}, // a new topic may begin below
		{64, topicA, 1, aBatch(400, "five")},
		{shardMax, topicA, math.MaxInt32, aBatch(1, "")},
	}
}

func TestParse_WhatBuilderWrote(t *testing.T) {
	all := fullRuns()
	body, positions := build(full, all)
	s, err := Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.Info, full) {
		t.Errorf("got %+v, want %+v", s.Info, full)
	}
	if s.Size != int64(len(body)) || s.Verify() != nil {
		t.Errorf("size %d of %d, %v", s.Size, len(body), s.Verify())
	}
	if len(s.Runs) != 5 || len(s.Runs[0].Batches) != 2 {
		t.Fatalf("runs %+v", s.Runs)
	}
	i := 0
	for k := range s.Runs {
		r := &s.Runs[k]
		for position, length := range r.Each() {
			a := all[i]
			if r.Shard != a.shard || r.Topic != a.topic || r.Partition != a.partition || position != positions[i] ||
				!bytes.Equal(body[position:position+int64(length)], a.data) {
				t.Errorf("batch %d: run %+v at %d", i, r, position)
			}
			i++
		}
		if cap(s.Bytes(r)) != int(r.Length) {
			t.Errorf("bytes of run %d reach beyond it", k)
		}
	}
	if i != len(all) {
		t.Errorf("%d batches of %d", i, len(all))
	}
}

func TestParse_Empty(t *testing.T) {
	body, _ := build(Info{ID: ID{Term: 1, Number: 1}, Written: -1}, nil)
	s, err := Parse(body)
	if err != nil || len(s.Runs) != 0 || s.FooterAt != headerSize || s.Written != -1 || s.Verify() != nil {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestParse_Random(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var b Builder // reused
	for range 200 {
		info := Info{Cluster: string(make([]byte, random.IntN(ClusterBytesMax+1))), ID: ID{Term: random.Uint64(), Number: random.Uint64()}, Flush: random.Uint64(), Written: random.Int64()}
		for range random.IntN(5) {
			info.Fates = append(info.Fates, Fate{random.Uint32(), random.Uint64(), random.Uint64()})
		}
		b.Begin(nil, info)
		var want []Run
		batches, at := 0, int64(headerSize)
		for shard := range random.IntN(4) {
			for topic := range byte(random.IntN(3)) {
				for partition := range int32(random.IntN(4)) {
					r := Run{Shard: shard * 1000, Topic: [16]byte{topic}, Partition: partition * 7, Position: at}
					for range 1 + random.IntN(3) {
						data := aBatch(1+random.IntN(3), string(make([]byte, random.IntN(300))))
						b.Add(r.Shard, r.Topic, r.Partition, data)
						r.CRC = crc32.Update(r.CRC, castagnoli, data)
						r.Batches = append(r.Batches, int32(len(data)))
						r.Length += int64(len(data))
						batches++
					}
					at = r.End()
					want = append(want, r)
				}
			}
		}
		if b.Size() != int(at) {
			t.Fatalf("size %d, want %d", b.Size(), at)
		}
		body := b.Finish()
		if hint := SizeHint(int(at)-headerSize, batches, len(want), len(info.Fates)); len(body) > hint {
			t.Fatalf("%d bytes, hint %d", len(body), hint)
		}
		s, err := Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s.Info, info) || !reflect.DeepEqual(s.Runs, want) {
			t.Fatalf("got %+v, want %+v %+v", s, info, want)
		}
		if err := s.Verify(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every flipped bit is noticed, by Parse or by Verify.
func TestVerify_EveryFlippedBit(t *testing.T) {
	all := []added{{0, topicA, 0, aBatch(1, "v")}, {9, topicB, 3, aBatch(2, "w")}}
	body, _ := build(full, all)
	for i := range len(body) * 8 {
		body[i/8] ^= 1 << (i % 8)
		s, err := Parse(body)
		if err == nil {
			err = s.Verify()
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("bit %d of byte %d of %d: %v", i%8, i/8, len(body), err)
		}
		body[i/8] ^= 1 << (i % 8)
	}
}

func TestParse_Truncated(t *testing.T) {
	body, _ := build(full, fullRuns())
	for n := range len(body) {
		if _, err := Parse(body[:n]); err == nil {
			t.Fatalf("%d bytes of %d parsed", n, len(body))
		}
	}
	if _, err := Parse(append(slices.Clone(body), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestReadFooter_FromItsTail(t *testing.T) {
	body, _ := build(full, fullRuns())
	whole, err := ReadFooter(body, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	need := len(body) - int(whole.FooterAt)
	for n := range len(body) + 1 {
		f, err := ReadFooter(body[len(body)-n:], int64(len(body)))
		var short *ShortTailError
		switch {
		case n >= need:
			if err != nil || !reflect.DeepEqual(f, whole) {
				t.Fatalf("from %d bytes: %+v, %v", n, f, err)
			}
		case !errors.As(err, &short):
			t.Fatalf("from %d bytes: %v", n, err)
		case n >= trailerSize && short.Need != int64(need), short.Need > int64(len(body)):
			t.Fatalf("from %d bytes: %d needed, not %d", n, short.Need, need)
		}
	}
}

func TestVerifyRange(t *testing.T) {
	all := fullRuns()
	body, positions := build(full, all)
	f, err := ReadFooter(body, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.VerifyRange(0, body); n != 5 || err != nil {
		t.Errorf("whole: %d runs, %v", n, err)
	}
	// From within the first run to within the last.
	from, to := positions[1], positions[5]+1
	if n, err := f.VerifyRange(from, body[from:to]); n != 3 || err != nil {
		t.Errorf("part: %d runs, %v", n, err)
	}
	body[positions[2]+70] ^= 1
	if _, err := f.VerifyRange(from, body[from:to]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
}

// forged returns a segment whose footer is made by change, its checksums right.
func forged(footer func([]byte) []byte) []byte {
	data := aBatch(1, "v")
	b := append(appendHeader(nil, ID{Term: 1, Number: 2}), data...)
	at := len(b)
	b = footer(b)
	return appendTrailer(b, at, kindIngest)
}

func TestReadFooter_Hostile(t *testing.T) {
	data := aBatch(1, "v")
	size := uint64(len(data))
	info := func(b []byte) []byte { return appendInfo(b, Info{ID: ID{Term: 1, Number: 2}}) }
	run := func(b []byte, shard, partition, batches uint64, lengths ...uint64) []byte {
		b = binary.AppendUvarint(b, shard)
		b = append(b, topicA[:]...)
		b = binary.AppendUvarint(b, partition)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data, castagnoli))
		b = binary.AppendUvarint(b, batches)
		for _, n := range lengths {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	good := func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 1, size) }
	if s, err := Parse(forged(good)); err != nil || s.Verify() != nil {
		t.Fatalf("the footer that the others are made from: %v", err)
	}
	tests := []struct {
		name   string
		footer func([]byte) []byte
	}{
		{"empty", func(b []byte) []byte { return b }},
		{"another term", func(b []byte) []byte {
			return run(append(appendInfo(b, Info{ID: ID{Term: 3, Number: 2}}), 1), 0, 0, 1, size)
		}},
		{"a long cluster id", func(b []byte) []byte { return good(append(b, ClusterBytesMax+1)) }},
		{"2⁶⁴−1 fates", func(b []byte) []byte {
			b = info(b)
			return binary.AppendUvarint(b[:len(b)-1], math.MaxUint64)
		}},
		{"a fate's journal of 33 bits", func(b []byte) []byte {
			b = append(info(b), 1)
			b[len(b)-2] = 1 // one fate
			return good(append(binary.AppendUvarint(b[:len(b)-1], 1<<32), 1, 1))
		}},
		{"2⁶⁴−1 runs", func(b []byte) []byte { return binary.AppendUvarint(info(b), math.MaxUint64) }},
		{"more runs than fit", func(b []byte) []byte { return run(append(info(b), 2), 0, 0, 1, size) }},
		{"no run, but data", func(b []byte) []byte { return append(info(b), 0) }},
		{"a run of no batches", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 0) }},
		{"2⁶⁴−1 batches", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, math.MaxUint64, size) }},
		{"a batch below its header's size", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 2, size-60, 60) }},
		{"a batch of 2³¹", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 1, 1<<31) }},
		{"batches beyond the data", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 1, size+1) }},
		{"batches short of the data", func(b []byte) []byte { return run(append(info(b), 1), 0, 0, 1, size-1) }},
		{"bytes after the last run", func(b []byte) []byte { return append(good(b), 0) }},
		{"a shard of 2³¹", func(b []byte) []byte { return run(append(info(b), 1), 1<<31, 0, 1, size) }},
		{"shards that pass 2³¹−1", func(b []byte) []byte {
			return run(run(append(info(b), 2), shardMax, 0, 1, 61), 1, 0, 1, size-61)
		}},
		{"a partition of 2³¹", func(b []byte) []byte { return run(append(info(b), 1), 0, 1<<31, 1, size) }},
		{"one partition twice", func(b []byte) []byte {
			return run(run(append(info(b), 2), 0, 5, 1, 61), 0, 5, 1, size-61)
		}},
		{"partitions out of order", func(b []byte) []byte {
			return run(run(append(info(b), 2), 0, 5, 1, 61), 0, 4, 1, size-61)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Parse(forged(test.footer)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a batch whose header says another length", func(t *testing.T) {
		long := aBatch(1, string(make([]byte, 100)))
		b := append(appendHeader(nil, ID{Term: 1, Number: 2}), long...)
		at := len(b)
		b = append(info(b), 1, 0)
		b = append(b, topicA[:]...)
		b = append(b, 0)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(long, castagnoli))
		b = append(b, 2, 61)
		b = appendTrailer(binary.AppendUvarint(b, uint64(len(long)-61)), at, kindIngest)
		s, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
}

// Parsing takes memory in proportion to the bytes given, whatever they claim.
func TestReadFooter_Memory(t *testing.T) {
	const size = 4 << 20
	for name, claim := range map[string]struct{ runs, batches uint64 }{
		"runs":    {runs: size / runBytesMin},
		"batches": {runs: 1, batches: size - 64},
	} {
		b := forged(func(b []byte) []byte {
			b = binary.AppendUvarint(appendInfo(b, Info{ID: ID{Term: 1, Number: 2}}), claim.runs)
			if claim.batches > 0 {
				b = append(b, make([]byte, runBytesMin-2)...)
				b = binary.AppendUvarint(b, claim.batches)
				return append(b, bytes.Repeat([]byte{61}, size)...)
			}
			return append(b, make([]byte, size+runBytesMin)...)
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadFooter(b, int64(len(b)))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n < size || n > 8*size {
			t.Errorf("%s: %d bytes for a footer of %d", name, n, size)
		}
	}
}

func TestParse_OtherVersions(t *testing.T) {
	fixHeader := func(b []byte) {
		binary.BigEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	}
	for _, at := range []int{4, 5, 6, 7} {
		body, _ := build(full, fullRuns())
		body[at]++
		fixHeader(body)
		if _, err := Parse(body); !errors.Is(err, ErrVersion) {
			t.Errorf("byte %d of the header: %v", at, err)
		}
		body, _ = build(full, fullRuns())
		body[len(body)-trailerSize+at]++
		if _, err := Parse(body); !errors.Is(err, ErrVersion) {
			t.Errorf("byte %d of the trailer: %v", at, err)
		}
	}
}

func TestBuilder_Misuse(t *testing.T) {
	data := aBatch(1, "v")
	tests := []struct {
		name string
		f    func(b *Builder)
	}{
		{"shards fall", func(b *Builder) { b.Add(2, topicA, 0, data); b.Add(1, topicB, 0, data) }},
		{"partitions fall", func(b *Builder) { b.Add(2, topicA, 3, data); b.Add(2, topicA, 2, data) }},
		{"negative shard", func(b *Builder) { b.Add(-1, topicA, 0, data) }},
		{"negative partition", func(b *Builder) { b.Add(0, topicA, -1, data) }},
		{"no batch", func(b *Builder) { b.Add(0, topicA, 0, nil) }},
		{"part of a batch", func(b *Builder) { b.Add(0, topicA, 0, data[:len(data)-1]) }},
		{"two batches", func(b *Builder) { b.Add(0, topicA, 0, slices.Concat(data, data)) }},
		{"a long cluster id", func(b *Builder) { b.Begin(nil, Info{Cluster: string(make([]byte, ClusterBytesMax+1))}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			var b Builder
			b.Begin(nil, full)
			test.f(&b)
		})
	}
}

// A reused builder with a buffer of the hinted size allocates nothing.
func TestBuilder_Allocations(t *testing.T) {
	const batches = 600
	data := aBatch(3, "value")
	size := SizeHint(batches*len(data), batches, batches/2, len(full.Fates))
	dst := make([]byte, 0, size)
	var b Builder
	fill := func() {
		b.Begin(dst, full)
		for i := range batches {
			b.Add(i/100, topicA, int32(i/2), data)
		}
		if body := b.Finish(); &body[0] != &dst[:1][0] {
			t.Fatal("the buffer was left")
		}
	}
	if n := testing.AllocsPerRun(20, fill); n > 0 {
		t.Errorf("%v allocations for %d batches", n, batches)
	}
}

func TestID_Key(t *testing.T) {
	ids := []ID{{Term: 0}, {Term: 1, Number: 1}, {Term: 1, Number: 2}, {Term: 1, Number: 999_999_999_999}, {Term: 2, Number: 1}, {Term: 9_999_999_999, Number: 1}, {Term: 1 << 60, Number: 1 << 60}, {Term: math.MaxUint64, Number: math.MaxUint64}}
	for i, id := range ids {
		got, ok := ParseKey(id.Key())
		if !ok || got != id {
			t.Errorf("%v: got %v, %v", id, got, ok)
		}
		for k, other := range ids {
			if got := id.Compare(other); got != min(1, max(-1, i-k)) {
				t.Errorf("%v against %v: %d", id, other, got)
			}
		}
	}
	if key := (ID{Term: 7, Number: 42}).Key(); key != "segments/0000000007/000000000042" {
		t.Errorf("got %q", key)
	}
	for _, key := range []string{
		"", "segments/", "segments/0000000007", "segments/0000000007/", "segments/7/42", "segments/0000000007/000000000042/",
		"segments/00000000007/000000000042", "segments/0000000007/+00000000042", "segments/000000000x/000000000042",
		"other/0000000007/000000000042", "/segments/0000000007/000000000042", "segments/0000000007/99999999999999999999",
	} {
		if id, ok := ParseKey(key); ok {
			t.Errorf("%q is %v", key, id)
		}
	}
}
