package batch

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// anything is the rules that every record keeps.
func anything(bytesMax int) Rules {
	return Rules{Earliest: math.MinInt64, Latest: math.MaxInt64, DecompressedBytesMax: bytesMax, FaultsMax: 10}
}

// packed returns a batch of records as every codec has it.
func packed(t testing.TB, plain []byte) map[string][]byte {
	t.Helper()
	h, err := Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{"xerial": with(h, Snappy, xerial(plain[HeaderSize:], 1000))}
	for _, codec := range codecs {
		all[codec.String()] = with(h, codec, compress(t, codec, plain[HeaderSize:]))
	}
	return all
}

func TestInspect_Faults(t *testing.T) {
	plain := Append(nil, Header{ProducerID: -1}, []Record{
		{Offset: 0, Timestamp: 1000, Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 3*sourceSpaceBytes)},
		{Offset: 1, Timestamp: -1, Value: []byte("without a key or a time")},
		{Offset: 2, Timestamp: 500, Key: []byte{}, Headers: []RecordHeader{{Key: []byte("h")}, {Key: []byte{}, Value: []byte("x")}}},
		{Offset: 3, Timestamp: 2000},
		{Offset: 4, Timestamp: -7, Key: []byte("below none")},
	})
	tests := []struct {
		name   string
		change func(r *Rules)
		want   []Fault
	}{
		{"anything", func(*Rules) {}, []Fault{{Index: 4, Timestamp: -7}}},
		{"any time", func(r *Rules) { r.AnyTime = true }, nil},
		{"keys", func(r *Rules) { r.Keyed = true }, []Fault{{Index: 1, NoKey: true}, {Index: 3, NoKey: true}, {Index: 4, Timestamp: -7}}},
		{"times", func(r *Rules) { r.Earliest, r.Latest = 501, 1999 }, []Fault{{Index: 2, Timestamp: 500}, {Index: 3, Timestamp: 2000}, {Index: 4, Timestamp: -7}}},
		{"times just so", func(r *Rules) { r.Earliest, r.Latest = 500, 2000 }, []Fault{{Index: 4, Timestamp: -7}}},
		{"the first", func(r *Rules) { r.Keyed, r.FaultsMax = true, 1 }, []Fault{{Index: 1, NoKey: true}}},
	}
	var in Inspector // one for all: nothing is left over
	for codec, b := range packed(t, plain) {
		h, err := Check(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range tests {
			rules := anything(1 << 20)
			test.change(&rules)
			largest, faults, err := in.Inspect(b, h, rules)
			if err != nil || largest != 2000 || !slices.Equal(faults, test.want) {
				t.Errorf("%s, %s: %d %+v %v, want %+v", codec, test.name, largest, faults, err, test.want)
			}
		}
	}
}

func TestInspect_Refuses(t *testing.T) {
	var in Inspector
	inspect := func(b []byte) error {
		h, err := Check(b)
		if err == nil {
			_, _, err = in.Inspect(b, h, anything(1<<20))
		}
		return err
	}
	for _, test := range brokenBatches(t) {
		if err := inspect(test.b); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	holes := Append(nil, Header{ProducerID: -1}, []Record{{Offset: 0}, {Offset: 2}})
	h, _ := Parse(holes)
	h.LastOffsetDelta = 1
	if err := inspect(with(h, None, holes[HeaderSize:])); !errors.Is(err, ErrInvalid) {
		t.Errorf("offset deltas with a hole: %v", err)
	}
	for codec, b := range packed(t, sample()) {
		if err := inspect(b); err != nil {
			t.Fatal(err)
		}
		for cut := HeaderSize; cut < len(b); cut++ {
			h, _ := Parse(b)
			if err := inspect(with(h, None, b[HeaderSize:cut])); err == nil && codec != "none" {
				t.Errorf("%s as if it weren't compressed: taken", codec)
			}
			if err := inspect(with(Header{Records: h.Records, LastOffsetDelta: h.LastOffsetDelta, ProducerID: -1}, h.Codec(), b[HeaderSize:cut])); err == nil && cut < len(b)-8 {
				t.Errorf("%s cut at %d of %d: taken", codec, cut, len(b))
			}
		}
	}
}

func TestInspect_Bombs(t *testing.T) {
	plain := Append(nil, Header{ProducerID: -1}, []Record{{Value: make([]byte, 64<<20)}})
	for codec, b := range packed(t, plain) {
		if codec == None.String() {
			continue
		}
		h, _ := Parse(b)
		var in Inspector
		var err error
		// As for Records: lz4's blocks and zstd's window are their own.
		const bytesMax, own = 1 << 20, 8<<20 + 5*zstdWindowBytes
		if n := allocated(func() { _, _, err = in.Inspect(b, h, anything(bytesMax)) }); n > 4*bytesMax+own || !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %d bytes of memory, %v", codec, n, err)
		}
		if codec == Zstd.String() || codec == Snappy.String() {
			continue // they take what they decompress to
		}
		in = Inspector{}
		if n := allocated(func() { _, _, err = in.Inspect(b, h, anything(128<<20)) }); n > 16<<20 || err != nil {
			t.Errorf("%s, streamed: %d bytes of memory, %v", codec, n, err)
		}
	}
}

func TestSetMaxTimestamp(t *testing.T) {
	b := sample()
	SetMaxTimestamp(b, 77)
	if h, err := Verify(b); err != nil || h.MaxTimestamp != 77 {
		t.Errorf("%+v %v", h, err)
	}
}

// FuzzInspect: what Inspect takes Records reads to its end, and finds the same.
func FuzzInspect(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, b := range packed(f, sample()) {
		f.Add(b)
		b = bytes.Clone(b)
		b[HeaderSize+random.IntN(len(b)-HeaderSize)] ^= 1
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderSize {
			return
		}
		b = bytes.Clone(b)
		setCRC(b)
		h, err := Check(b)
		if err != nil {
			return
		}
		const bytesMax = 1 << 20
		var in Inspector
		largest, _, err := in.Inspect(b, h, anything(bytesMax))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		read, want := int32(0), int64(-1)
		for r, err := range Records(b, bytesMax) {
			if err != nil {
				t.Fatalf("taken, but not read: %v", err)
			}
			read++
			want = max(want, r.Timestamp)
		}
		if read != h.Records || largest != want {
			t.Fatalf("%d records up to %d, inspected %d up to %d", read, want, h.Records, largest)
		}
	})
}

// BenchmarkInspect shows what looking at the records costs beside the CRC: batches of
// records of 1 KiB, of text that compresses to about a third.
func BenchmarkInspect(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 2000)
	for i := range words {
		words[i] = fmt.Sprintf("%x ", random.Uint32()>>random.IntN(24))
	}
	for _, n := range []int{1, 16, 1000} {
		records := make([]Record, n)
		for i := range records {
			var value []byte
			for len(value) < 1<<10 {
				value = append(value, words[random.IntN(random.IntN(len(words))+1)]...)
			}
			records[i] = Record{Offset: int64(i), Timestamp: 1_700_000_000_000, Value: value[:1<<10]}
		}
		plain := Append(nil, Header{ProducerID: -1}, records)
		for _, codec := range []Codec{None, LZ4, Zstd, Snappy, Gzip} {
			h, _ := Parse(plain)
			packed := with(h, codec, compress(b, codec, plain[HeaderSize:]))
			run := func(name string, f func(in *Inspector)) {
				b.Run(fmt.Sprintf("%d x 1 KiB/%v/%s", n, codec, name), func(b *testing.B) {
					var in Inspector
					b.SetBytes(int64(len(plain)))
					b.ReportAllocs()
					for b.Loop() {
						f(&in)
					}
					b.ReportMetric(float64(len(plain))/float64(len(packed)), "ratio")
				})
			}
			run("checked", func(*Inspector) {
				if _, err := Check(packed); err != nil {
					b.Fatal(err)
				}
			})
			run("checked and inspected", func(in *Inspector) {
				h, err := Check(packed)
				if err == nil {
					_, _, err = in.Inspect(packed, h, anything(1<<30))
				}
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// TestInspect_Header: the first record's header is found in any codec, and nothing else is.
func TestInspect_Header(t *testing.T) {
	header := func(name, value string) RecordHeader { return RecordHeader{Key: []byte(name), Value: []byte(value)} }
	long := strings.Repeat("x", headerValueBytesMax+1)
	rows := []struct {
		name   string
		first  []RecordHeader
		second []RecordHeader
		wanted string
		want   string
	}{
		{"alone", []RecordHeader{header("parent", "p")}, nil, "parent", "p"},
		{"among others", []RecordHeader{header("paren", "x"), header("parents", "y"), header("parent", "p"), header("", "z")}, nil, "parent", "p"},
		{"in the second record", nil, []RecordHeader{header("parent", "p")}, "parent", ""},
		{"null", []RecordHeader{{Key: []byte("parent")}}, nil, "parent", ""},
		{"too long", []RecordHeader{header("parent", long)}, nil, "parent", ""},
		{"as long as may be", []RecordHeader{header("parent", long[1:])}, nil, "parent", long[1:]},
		{"not wanted", []RecordHeader{header("parent", "p")}, nil, "", ""},
	}
	var in Inspector
	for _, row := range rows {
		plain := Append(nil, Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, []Record{
			{Key: bytes.Repeat([]byte("k"), 100_000), Headers: row.first}, {Offset: 1, Headers: row.second}})
		all := packed(t, plain)
		all["none"] = plain
		for codec, b := range all {
			h, err := Check(b)
			if err != nil {
				t.Fatal(err)
			}
			rules := anything(1 << 20)
			rules.Header = row.wanted
			if _, _, err := in.Inspect(b, h, rules); err != nil {
				t.Fatalf("%v, %s: %v", codec, row.name, err)
			}
			if got := in.Header(); got != row.want {
				t.Errorf("%v, %s: %q; want %q", codec, row.name, got, row.want)
			}
		}
	}
}
