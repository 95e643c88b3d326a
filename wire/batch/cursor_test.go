package batch

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"
)

// sameAsSlow compares quick with decoder.record, which tells every fault.
func sameAsSlow(t *testing.T, b []byte, h Header) {
	t.Helper()
	var r Record
	n, delta := quick(b, &h, &r)
	d := decoder{rest: b}
	want, wantDelta, err := d.record(&h)
	if n == 0 {
		if err == nil && len(want.Headers) == 0 && len(b) < 1<<20 && short(b) {
			t.Fatalf("%x has no fault", b)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(r, want) || delta != wantDelta || n != len(b)-len(d.rest) {
		t.Fatalf("%x: %+v, delta %d, %d bytes; decoder.record: %+v, %d, %d bytes, %v", b, r, delta, n, want, wantDelta, len(b)-len(d.rest), err)
	}
}

// short tells whether no varint of b has ten bytes: those are left to decoder.record.
func short(b []byte) bool {
	run := 0
	for _, c := range b {
		if run++; c < 0x80 {
			run = 0
		}
		if run >= 9 {
			return false
		}
	}
	return true
}

func FuzzQuick(f *testing.F) {
	plain := Append(nil, Header{}, []Record{
		{Value: []byte("v")}, {Offset: 1, Key: []byte("k")}, {Offset: 300, Timestamp: 1 << 40, Key: bytes.Repeat([]byte("k"), 70), Value: bytes.Repeat([]byte("v"), 9000)},
		{Offset: 301, Value: []byte{}, Headers: []RecordHeader{{Key: []byte("h"), Value: []byte("v")}}},
	})
	for rest := plain[HeaderSize:]; len(rest) > 0; {
		n, at := binary.Varint(rest)
		f.Add(rest[:at+int(n)], int64(5), int16(0))
		rest = rest[at+int(n):]
	}
	f.Add([]byte{14, 0, 0x80, 0, 0, 1, 1, 0}, int64(0), int16(attributeLogAppendTime)) // a varint longer than it must be
	f.Add([]byte{12, 0, 0, 0, 2, 1, 0}, int64(0), int16(0))                            // a key beyond the record
	f.Add([]byte{12, 0, 0, 0, 1, 1}, int64(0), int16(0))
	f.Add(append([]byte{32, 0}, bytes.Repeat([]byte{0xff}, 40)...), int64(math.MaxInt64), int16(0))
	f.Fuzz(func(t *testing.T, b []byte, first int64, attributes int16) {
		sameAsSlow(t, b, Header{Attributes: attributes, FirstTimestamp: first, MaxTimestamp: 7, BaseOffset: 1 << 40})
	})
}

// Going over the records of a batch allocates nothing, and little for headers.
func TestReader_Allocations(t *testing.T) {
	const records = 1000
	var all, headed []Record
	for i := range records {
		all = append(all, Record{Offset: int64(i), Timestamp: int64(i * 100), Key: []byte("key"), Value: bytes.Repeat([]byte("v"), i)})
		headed = append(headed, Record{Offset: int64(i), Headers: []RecordHeader{{Key: []byte("trace"), Value: []byte("1")}, {Key: []byte("span")}}})
	}
	for name, test := range map[string]struct {
		records []Record
		most    float64
	}{"without headers": {all, 2}, "with headers": {headed, 5}} {
		plain := Append(nil, Header{}, test.records)
		h, _ := Parse(plain)
		b := with(h, LZ4, compress(t, LZ4, plain[HeaderSize:]))
		var r Reader
		if got, err := readBatch(&r, b, 1<<30); err != nil || !reflect.DeepEqual(got, test.records) {
			t.Fatalf("%s: %d records, %v", name, len(got), err)
		}
		var record Record
		if took := testing.AllocsPerRun(10, func() {
			r.Reset()
			for r.Open(b, 1<<30); r.Next(&record); {
			}
		}); took > test.most || r.Err() != nil {
			t.Errorf("%s: %v allocations for a batch of %d records, %v", name, took, records, r.Err())
		}
	}
}
