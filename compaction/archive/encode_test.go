package archive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/wire/batch"
)

var testInfo = Info{Cluster: "cluster", Topic: "flights", TopicID: "AAAAAAAAAAAAAAAAAAAAAQ", Partition: 3, Value: Binary}

// testRows are rows with every kind of null, from offset 100 on, with holes.
func testRows(n int) []Row {
	r := rand.New(rand.NewPCG(1, 2))
	var rows []Row
	for i := range n {
		row := Row{Record: batch.Record{Offset: 100 + int64(i) + int64(i/7), Timestamp: 1_700_000_000_000 + int64(i)}, AppendTime: i%5 == 0}
		if i%11 == 3 {
			row.Timestamp = -1
		}
		if i%3 != 0 {
			row.Key = fmt.Appendf(nil, "key-%d", r.IntN(50))
		}
		if i%4 != 0 {
			row.Value = fmt.Appendf(nil, `{"n":%d,"pad":%q}`, i, strings.Repeat("x", r.IntN(60)))
		}
		for k := range i % 4 {
			h := batch.RecordHeader{Key: fmt.Appendf(nil, "h%d", k)}
			if k != 1 {
				h.Value = fmt.Appendf(nil, "v%d", i)
			}
			row.Headers = append(row.Headers, h)
		}
		rows = append(rows, row)
	}
	rows[n-1].Value, rows[n-1].Key = []byte{}, []byte{}
	return rows
}

// column reads a column of all row groups, with its levels.
func column[T any](t *testing.T, r *file.Reader, i int) (values []T, defs, reps []int16) {
	t.Helper()
	for g := range r.NumRowGroups() {
		c, err := r.RowGroup(g).Column(i)
		if err != nil {
			t.Fatal(err)
		}
		batched := c.(interface {
			ReadBatch(int64, []T, []int16, []int16) (int64, int, error)
		})
		for c.HasNext() {
			v, d, p := make([]T, 100), make([]int16, 100), make([]int16, 100)
			total, n, err := batched.ReadBatch(100, v, d, p)
			if err != nil {
				t.Fatal(err)
			}
			for k := range v[:n] {
				if b, ok := any(v[k]).(parquet.ByteArray); ok {
					v[k] = any(parquet.ByteArray(bytes.Clone(b))).(T) // the page's memory is used again
				}
			}
			values, defs, reps = append(values, v[:n]...), append(defs, d[:total]...), append(reps, p[:total]...)
		}
	}
	return values, defs, reps
}

// texts reads an optional column of bytes as words, null for null.
func texts(t *testing.T, r *file.Reader, i int) []string {
	values, defs, _ := column[parquet.ByteArray](t, r, i)
	var all []string
	for k, d := range defs {
		if r.MetaData().Schema.Column(i).MaxDefinitionLevel() > d {
			all = append(all, "null")
			continue
		}
		_ = k
		all, values = append(all, fmt.Sprintf("%q", []byte(values[0]))), values[1:]
	}
	return all
}

func quoted(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

// TestEncode_ReadBack: what a Parquet reader reads is what was given.
func TestEncode_ReadBack(t *testing.T) {
	for _, n := range []int{1, 7, 5000} {
		rows := testRows(n)
		var e Encoder
		body, err := e.Encode(testInfo, &Table{Rows: rows})
		if err != nil {
			t.Fatal(err)
		}
		again, err := (&Encoder{}).Encode(testInfo, &Table{Rows: rows})
		if err != nil || !bytes.Equal(body, again) {
			t.Fatalf("other bytes of the same rows: %v", err)
		}
		r, err := file.NewParquetReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if r.NumRows() != int64(n) {
			t.Fatalf("%d rows of %d", r.NumRows(), n)
		}
		for name, want := range map[string]string{"wadi.offset.first": fmt.Sprint(rows[0].Offset), "wadi.offset.last": fmt.Sprint(rows[n-1].Offset), "wadi.topic.id": testInfo.TopicID} {
			if got := r.MetaData().KeyValueMetadata().FindValue(name); got == nil || *got != want {
				t.Errorf("%s is %v", name, got)
			}
		}
		offsets, _, _ := column[int64](t, r, 2)
		times, defs, _ := column[int64](t, r, 3)
		partitions, _, _ := column[int32](t, r, 1)
		keys, values := texts(t, r, 5), texts(t, r, 8)
		types, _, _ := column[parquet.ByteArray](t, r, 4)
		for i := range rows {
			row := &rows[i]
			if offsets[i] != row.Offset || partitions[i] != 3 || keys[i] != quoted(row.Key) || values[i] != quoted(row.Value) || string(types[i]) != string(timestampType(row.AppendTime)) {
				t.Fatalf("row %d: offset %d, partition %d, key %s, value %s, of %+v", i, offsets[i], partitions[i], keys[i], values[i], row)
			}
			if row.Timestamp < 0 {
				if defs[i] != 0 {
					t.Fatalf("row %d has a time", i)
				}
				continue
			}
			if defs[i] != 1 || times[0] != row.Timestamp*1000 {
				t.Fatalf("row %d: time %d of %d ms", i, times[0], row.Timestamp)
			}
			times = times[1:]
		}
		checkHeaders(t, r, rows)
	}
}

func checkHeaders(t *testing.T, r *file.Reader, rows []Row) {
	t.Helper()
	keys, _, reps := column[parquet.ByteArray](t, r, 6)
	values := texts(t, r, 7)
	at, level := 0, 0
	for i := range rows {
		if reps[level] != 0 {
			t.Fatalf("row %d begins within another", i)
		}
		if len(rows[i].Headers) == 0 {
			level++
		}
		for _, h := range rows[i].Headers {
			if string(keys[at]) != string(h.Key) || values[level] != quoted(h.Value) {
				t.Fatalf("row %d: header %s = %s of %s = %s", i, keys[at], values[level], h.Key, quoted(h.Value))
			}
			at++
			level++
		}
	}
	if level != len(reps) || at != len(keys) {
		t.Fatalf("%d levels of %d, %d keys of %d", level, len(reps), at, len(keys))
	}
}

// A value that isn't what the config says is kept beside, and stops nothing.
func TestEncode_Typed(t *testing.T) {
	for _, c := range []struct {
		value Value
		of    []string // values
		valid []bool
	}{
		{String, []string{"a", "", "\xff", "ü"}, []bool{true, true, false, true}},
		{JSON, []string{`{"a":1}`, "", `{`, "\"\xff\"", "7"}, []bool{true, false, false, false, true}},
	} {
		rows := []Row{{Record: batch.Record{Offset: 1}}} // null is valid
		want, beside := []string{"null"}, []string{"null"}
		for i, v := range c.of {
			rows = append(rows, Row{Record: batch.Record{Offset: 2 + int64(i), Value: []byte(v)}})
			if c.valid[i] {
				want, beside = append(want, fmt.Sprintf("%q", v)), append(beside, "null")
			} else {
				want, beside = append(want, "null"), append(beside, fmt.Sprintf("%q", v))
			}
		}
		info := testInfo
		info.Value = c.value
		body, err := new(Encoder).Encode(info, &Table{Rows: rows})
		if err != nil {
			t.Fatal(err)
		}
		r, err := file.NewParquetReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, invalid := fmt.Sprint(texts(t, r, 8)), fmt.Sprint(texts(t, r, 9)); got != fmt.Sprint(want) || invalid != fmt.Sprint(beside) {
			t.Errorf("%s: values %s, invalid ones %s", c.value, got, invalid)
		}
	}
}

func TestKeys(t *testing.T) {
	key := Key("flights", HourOf(1_700_000_000_000), 3, 100, 250, ID{7, 12})
	if want := "archive/flights/date=2023-11-14/hour=22/3-100-250-7-12.parquet"; key != want {
		t.Errorf("%s", key)
	}
	if id, ok := ParseKey(key); !ok || id != (ID{7, 12}) {
		t.Errorf("%+v %t", id, ok)
	}
	for _, bad := range []string{"", "archive/", "archive/x.parquet", strings.Replace(key, "-12", "-012", 1), key + "x", "x" + key} {
		if _, ok := ParseKey(bad); ok {
			t.Errorf("%q is a key", bad)
		}
	}
	for _, timestamp := range []int64{-1, -5, timestampMax + 1, 1 << 62} {
		if HourOf(timestamp) != NoHour {
			t.Errorf("%d has an hour", timestamp)
		}
	}
	long := strings.Repeat("a", 249)
	folders := map[string]string{}
	for _, topic := range []string{"x", "x__dlq", "x__dlq__dlq", long, long[:248], long[:115], long[:116], long[:120], long[:115] + deadSuffix, long[:121]} {
		for _, f := range []string{Folder(topic), DeadFolder(topic)} {
			if folders[f] != "" || len(f) > folderBytesMax {
				t.Errorf("folder %q of %q and %q", f, topic, folders[f])
			}
			folders[f] = topic
		}
	}
	key = Key(Folder(long), HourOf(timestampMax), 1<<31-1, 1<<62, 1<<62, ID{1 << 62, 1 << 62})
	if len(key) > 255 {
		t.Errorf("%d bytes: %s", len(key), key)
	}
}

func BenchmarkEncode(b *testing.B) {
	rows := testRows(100_000)
	size := 0
	for i := range rows {
		size += len(rows[i].Key) + len(rows[i].Value)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var e Encoder
	for b.Loop() {
		if _, err := e.Encode(testInfo, &Table{Rows: rows}); err != nil {
			b.Fatal(err)
		}
	}
}
