package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestParsePosition(t *testing.T) {
	now := time.Date(2018, 2, 6, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		text string
		want position
		ok   bool
	}{
		{"earliest", position{fromEarliest, 0}, true},
		{"latest", position{fromLatest, 0}, true},
		{"0", position{fromOffset, 0}, true},
		{"17", position{fromOffset, 17}, true},
		{"-17", position{fromLast, 17}, true},
		{"@1517875200000", position{fromTime, 1517875200000}, true},
		{"2018-02-06", position{fromTime, 1517875200000}, true},
		{"2018-02-06T01:00:00+01:00", position{fromTime, 1517875200000}, true},
		{"2018-02-06 00:00:00", position{fromTime, 1517875200000}, true},
		{"2018-02-06T00:00", position{fromTime, 1517875200000}, true},
		{"12h", position{fromTime, 1517875200000}, true},
		{"@-1", position{}, false}, {"@x", position{}, false}, {"-5m", position{}, false},
		{"", position{}, false}, {"soon", position{}, false}, {"2018-13-01", position{}, false},
	} {
		got, err := parsePosition(row.text, now)
		if got != row.want || (err == nil) != row.ok {
			t.Errorf("%q: %v, %v", row.text, got, err)
		}
	}
}

func TestPosition_Offset(t *testing.T) {
	for _, row := range []struct {
		p    position
		want int64
	}{
		{position{fromEarliest, 0}, 10}, {position{fromLatest, 0}, 90}, {position{fromOffset, 33}, 33},
		{position{fromLast, 5}, 85}, {position{fromTime, 1}, 40},
	} {
		if got := row.p.offset(10, 90, 40); got != row.want {
			t.Errorf("%v: %d, want %d", row.p, got, row.want)
		}
	}
}

// readAllRecords reads an input to its end.
func readAllRecords(in *recordInput) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for {
		record, err := in.next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
}

func TestInput_Lines(t *testing.T) {
	for _, row := range []struct {
		name, text, separator string
		want                  string // "key=value" each, ~ for null
		err                   string
	}{
		{"values", "a\nb\n", "", "~=a ~=b", ""},
		{"no last line end", "a\nb", "", "~=a ~=b", ""},
		{"windows", "a\r\nb\r\n", "", "~=a ~=b", ""},
		{"empty lines are records", "\n\na\n", "", "~= ~= ~=a", ""},
		{"nothing", "", "", "", ""},
		{"keys", "k:v\nk2:v:w\n:x\n", ":", "k=v k2=v:w =x", ""},
		{"a longer separator", "k => v\n", " => ", "k=v", ""},
		{"no separator", "k:v\nkv\n", ":", "k=v", `line 2: there is no key separator ":" in it`},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := &recordInput{reader: iotest.OneByteReader(strings.NewReader(row.text)), format: inputLines, separator: row.separator, partition: anyPartition}
			records, err := readAllRecords(in)
			var got []string
			for _, r := range records {
				key := "~"
				if r.Key != nil {
					key = string(r.Key)
				}
				got = append(got, key+"="+string(r.Value))
			}
			if strings.Join(got, " ") != row.want || (err == nil) != (row.err == "") || err != nil && err.Error() != row.err {
				t.Errorf("%q, %v", got, err)
			}
			if err == nil && in.bytes != int64(len(row.text)) {
				t.Errorf("%d bytes counted of %d", in.bytes, len(row.text))
			}
		})
	}
}

func TestInput_LongLines(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	records, err := readAllRecords(&recordInput{reader: strings.NewReader(long + "\nend"), format: inputLines})
	if err != nil || len(records) != 2 || string(records[0].Value) != long || string(records[1].Value) != "end" {
		t.Errorf("%d records, %v", len(records), err)
	}
	endless := io.LimitReader(zeros{}, lineBytesMax+1)
	if _, err := readAllRecords(&recordInput{reader: endless, format: inputLines}); err == nil || err.Error() != "line 1: it is longer than 64.0 MiB" {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestInput_JSON(t *testing.T) {
	text := `{"key":"k","value":"v","headers":[{"key":"h","value":"x"},{"key":"n","value":null}],"partition":2,"timestamp":"2018-02-06T00:00:00Z"}

{"value":{"a":[1, 2]}}
{"key":"/w==","keyEncoding":"base64","value":null,"topic":"ignored","offset":7}
`
	records, err := readAllRecords(&recordInput{reader: strings.NewReader(text), format: inputJSON, partition: anyPartition, headers: []kgo.RecordHeader{{Key: "all"}}})
	if err != nil || len(records) != 3 {
		t.Fatal(records, err)
	}
	want := []*kgo.Record{
		{Key: []byte("k"), Value: []byte("v"), Partition: 2, Timestamp: time.Date(2018, 2, 6, 0, 0, 0, 0, time.UTC),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("x")}, {Key: "n"}, {Key: "all"}}},
		{Value: []byte(`{"a":[1, 2]}`), Partition: anyPartition, Headers: []kgo.RecordHeader{{Key: "all"}}},
		{Key: []byte{0xff}, Partition: anyPartition, Headers: []kgo.RecordHeader{{Key: "all"}}},
	}
	for i := range want {
		if !reflect.DeepEqual(records[i], want[i]) {
			t.Errorf("record %d: %+v, want %+v", i, records[i], want[i])
		}
	}
	for _, bad := range []struct{ text, says string }{
		{"x", "line 1: not a JSON object with key, value, headers, partition, timestamp: "},
		{`{"partition":-1}`, "line 1: -1 is not a partition"},
		{`{"value":"!","valueEncoding":"base64"}`, "line 1: value: it is not base64"},
		{`{"value":7,"valueEncoding":"base64"}`, "line 1: value: base64 is not in a string"},
		{`{"key":"x","keyEncoding":"hex"}`, `line 1: key: the encoding "hex" is not base64`},
		{`{"headers":[{"key":"h","value":"!","valueEncoding":"base64"}]}`, "line 1: header h: it is not base64"},
	} {
		_, err := readAllRecords(&recordInput{reader: strings.NewReader(bad.text), format: inputJSON})
		if err == nil || !strings.HasPrefix(err.Error(), bad.says) {
			t.Errorf("%s: %v", bad.text, err)
		}
	}
}

// What consume -o json prints, produce --input json sends.
func FuzzRecordJSON_ComesBack(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), "h", []byte("x"), false)
	f.Add([]byte{0xff, 0}, []byte(`{"a":1}`), "", []byte{0x80}, true)
	f.Add([]byte(" <&>"), []byte{}, "é", []byte("\n"), true)
	f.Fuzz(func(t *testing.T, key, value []byte, header string, headerValue []byte, null bool) {
		want := &kgo.Record{Key: key, Value: value, Partition: 3, Timestamp: time.UnixMilli(1517875200123).UTC()}
		if null {
			want.Key = nil
		}
		if text := []byte(header); bytes.Equal([]byte(strings.ToValidUTF8(header, "?")), text) {
			want.Headers = []kgo.RecordHeader{{Key: header, Value: headerValue}}
		}
		line, err := toJSON(want)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fromJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if fmt.Sprint(got.Key == nil, got.Value == nil, got.Headers) != fmt.Sprint(want.Key == nil, want.Value == nil, want.Headers) ||
			!bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || got.Partition != 3 || !got.Timestamp.Equal(want.Timestamp) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	})
}

// Any line of input gives a record or an error, never a panic, and JSON that was
// taken is printed again.
func FuzzInput(f *testing.F) {
	f.Add([]byte(`{"key":"k","value":{"a":1},"headers":[{"key":"h","value":null}],"partition":0}`), true)
	f.Add([]byte("k:v\n\nw"), false)
	f.Fuzz(func(t *testing.T, text []byte, asJSON bool) {
		in := &recordInput{reader: bytes.NewReader(text), format: inputLines, separator: ":", partition: anyPartition}
		if asJSON {
			in.format, in.separator = inputJSON, ""
		}
		records, _ := readAllRecords(in)
		for _, r := range records {
			if _, err := toJSON(r); err != nil {
				t.Errorf("%q was read and can't be printed: %v", text, err)
			}
		}
	})
}

func TestWords(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567), "1,234,567"}, {count(-1234), "-1,234"}, {count(-123), "-123"},
		{plural(1, "record"), "1 record"}, {plural(0, "record"), "0 records"},
		{size(1023), "1023 B"}, {size(1536), "1.5 KiB"}, {size(3 << 20), "3.0 MiB"}, {size(5 << 30), "5.0 GiB"},
		{barOf(1, 2, 4), "██░░"}, {barOf(9, 2, 4), "████"}, {barOf(0, 0, 2), "██"},
		{redacted("mem://"), "mem://"}, {redacted(""), ""},
		{redacted("postgres://u:p@h/d"), "postgres://u:xxxxx@h/d"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
