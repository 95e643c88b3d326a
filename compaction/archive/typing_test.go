package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/metastore/columns"
	"github.com/wadi-io/wadi/wire/batch"
)

func schemaFor(t *testing.T, text string) columns.Schema {
	t.Helper()
	s, err := columns.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// typedAs types one value by one column x, encodes what comes of it, and reads the column: its
// text, null, or the error of the dead.
func typedAs(t *testing.T, kind, value string) string {
	t.Helper()
	s := schemaFor(t, "x "+kind)
	row := Row{Record: batch.Record{Offset: 1, Value: []byte(value)}}
	if value == "NULL" {
		row.Value = nil
	}
	var typed, dead Table
	info := testInfo
	info.Columns = s
	if err := NewTyping(s).Append(&typed, &row); err != nil {
		dead.AppendDead(&row, err)
		info.Dead, typed = true, dead
	}
	body, err := new(Encoder).Encode(info, &typed)
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	const at = 9 // after kafka_value
	if info.Dead {
		if got := texts(t, r, 8)[0]; got != fmt.Sprintf("%q", value) {
			t.Fatalf("the value of a dead record is %s", got)
		}
		why, _, _ := column[parquet.ByteArray](t, r, at)
		if len(why[0]) > DeadBytesMax {
			t.Fatalf("an error of %d bytes", len(why[0]))
		}
		return "dlq: " + string(why[0])
	}
	switch storedAs(s[0].Type) {
	case parquet.Types.Boolean:
		return one[bool](t, r, at)
	case parquet.Types.Int32:
		return one[int32](t, r, at)
	case parquet.Types.Int64:
		return one[int64](t, r, at)
	case parquet.Types.Double:
		return one[float64](t, r, at)
	}
	return texts(t, r, at)[0]
}

func one[T any](t *testing.T, r *file.Reader, at int) string {
	values, defs, _ := column[T](t, r, at)
	if len(defs) != 1 || len(values) != int(defs[0]) {
		t.Fatalf("%v, levels %v", values, defs)
	}
	if len(values) == 0 {
		return "null"
	}
	return fmt.Sprint(values[0])
}

// Each type takes what it says, and nothing is guessed: what doesn't fit is dead, with the reason.
func TestTyping(t *testing.T) {
	for _, c := range []struct{ kind, value, want string }{
		{"boolean", `{"x": true}`, "true"},
		{"boolean", `{"x":false,"y":1}`, "false"},
		{"boolean", `{"x": 1}`, "dlq: column x: 1 is no boolean"},
		{"int64", `{"x": -9223372036854775808}`, "-9223372036854775808"},
		{"int64", `{"x": 9223372036854775807}`, "9223372036854775807"},
		{"int64", `{"x": 9223372036854775808}`, "dlq: column x: 9223372036854775808 is no int64"},
		{"int64", `{"x": 1.0}`, "dlq: column x: 1.0 is no int64"},
		{"int64", `{"x": "1"}`, `dlq: column x: "1" is no int64`},
		{"int64", `{"x": true}`, `dlq: column x: true is no int64`},
		{"double", `{"x": 1}`, "1"},
		{"double", `{"x": -1.5e-3}`, "-0.0015"},
		{"double", `{"x": 1e-400}`, "0"},
		{"double", `{"x": 1e400}`, "dlq: column x: 1e400 is no double"},
		{"double", `{"x": ` + strings.Repeat("9", 1000) + `}`, "dlq: column x: " + strings.Repeat("9", 60) + "… is no double"},
		{"double", `{"x": NaN}`, "dlq: the value is no JSON"},
		{"double", `{"x": "NaN"}`, `dlq: column x: "NaN" is no double`},
		{"double", `{"x": 0x1}`, "dlq: the value is no JSON"},
		{"string", `{"x": "a\"\\ü\u00fc\ud83d\ude00\n"}`, `"a\"\\üü😀\n"`},
		{"string", `{"x": ""}`, `""`},
		{"string", `{"x": "\u0000"}`, `"\x00"`},
		{"string", `{"x": "\ufffd\\ufffd"}`, `"` + "\ufffd" + `\\ufffd"`},
		{"string", `{"x": "\ud800"}`, `dlq: column x: "\ud800" is no string`},
		{"string", `{"x": "\ud800\u0041"}`, `dlq: column x: "\ud800\u0041" is no string`},
		{"string", `{"x": "\ude00\ud83d"}`, `dlq: column x: "\ude00\ud83d" is no string`},
		{"string", "{\"x\": \"\xff\"}", "dlq: the value is not UTF-8"},
		{"string", `{"x": 7}`, "dlq: column x: 7 is no string"},
		{"timestamp", `{"x": "2026-01-02T03:04:05.123456789+02:00"}`, "1767315845123456"},
		{"timestamp", `{"x": "1969-12-31T23:59:59.9999999Z"}`, "-1"},
		{"timestamp", `{"x": "0001-01-01T00:00:00Z"}`, "-62135596800000000"},
		{"timestamp", `{"x": "0000-12-31T00:00:00Z"}`, `dlq: column x: "0000-12-31T00:00:00Z" is no timestamp`},
		{"timestamp", `{"x": "2026-01-02 03:04:05"}`, `dlq: column x: "2026-01-02 03:04:05" is no timestamp`},
		{"timestamp", `{"x": 5}`, "dlq: column x: 5 is no timestamp"},
		{"timestamp_ms", `{"x": -5}`, "-5000"},
		{"timestamp_ms", `{"x": 253402300800000}`, "dlq: column x: 253402300800000 is no timestamp_ms"},
		{"timestamp_ms", `{"x": 1.5}`, "dlq: column x: 1.5 is no timestamp_ms"},
		{"date", `{"x": "1970-01-02"}`, "1"},
		{"date", `{"x": "1969-12-31"}`, "-1"},
		{"date", `{"x": "2026-02-30"}`, `dlq: column x: "2026-02-30" is no date`},
		{"json", `{"x": {"a": [1, "]}", {}]} }`, `"{\"a\": [1, \"]}\", {}]}"`},
		{"json", `{"x":[]}`, `"[]"`},
		{"json", `{"x": "\ud800"}`, `"\"\\ud800\""`},
		{"int64", `{"x": null}`, "null"},
		{"int64", `{}`, "null"},
		{"int64", ` { } `, "null"},
		{"int64", "NULL", "null"}, // a tombstone
		{"int64", `{"y": {"x": "no"}, "z": ["x", {"x": 1}], "\"": "{", "x" : 5 }`, "5"},
		{"int64", `{"\u0078": 6}`, "6"},
		{"int64", `{"x\ud800": 7, "y": "\ud800"}`, "null"},
		{"int64", `{"x": 1, "x": 1}`, `dlq: field "x" is there twice`},
		{"int64", `{"x": null, "\u0078": 1}`, `dlq: field "x" is there twice`},
		{"int64", `{"y": 1, "y": "a", "x": 2}`, "2"}, // no column's
		{"int64", ``, "dlq: the value is no JSON"},
		{"int64", `[{"x": 1}]`, "dlq: the value is no object of JSON"},
		{"int64", `"x"`, "dlq: the value is no object of JSON"},
		{"int64", `{"x": 1} {}`, "dlq: the value is no JSON"},
		{"int64", `{"x": 1`, "dlq: the value is no JSON"},
		{"json", `{"x": ` + strings.Repeat("[", 499) + strings.Repeat("]", 499) + `}`, `"` + strings.Repeat("[", 499) + strings.Repeat("]", 499) + `"`},
		{"int64", `{"y": ` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, "dlq: the value is nested deeper than 500"},
		{"int64", `{"y": ` + strings.Repeat(`{"a":`, 100_000) + `1` + strings.Repeat("}", 100_000) + `}`, "dlq: the value is no JSON"},
	} {
		if got := typedAs(t, c.kind, c.value); got != c.want {
			t.Errorf("%s of %.100s: %.200s, want %.200s", c.kind, c.value, got, c.want)
		}
	}
}

// Many rows of many columns come back as they are, in their row groups and pages, and the declaration with them.
func TestTyping_Rows(t *testing.T) {
	s := schemaFor(t, `n int64, text string from "s", half double, odd boolean, raw json from "s"`)
	typing := NewTyping(s)
	var table Table
	const rows = 3000
	for i := range rows {
		value := fmt.Sprintf(`{"s": "%d\n", "half": %d.5, "odd": %t, "n": %d}`, i, i, i%2 == 1, i)
		if i%7 == 3 {
			value = `{"half": null}`
		}
		if err := typing.Append(&table, &Row{Record: batch.Record{Offset: int64(i), Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
	}
	info := testInfo
	info.Columns, info.Value = s, JSON
	body, err := new(Encoder).Encode(info, &table)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ColumnsOf(bytes.NewReader(body)); err != nil || got.String() != s.String() {
		t.Fatalf("declared as %v, %v", got, err)
	}
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	const first = 10 // after kafka_value_invalid
	numbers, defs, _ := column[int64](t, r, first)
	halves, _, _ := column[float64](t, r, first+2)
	odd, _, _ := column[bool](t, r, first+3)
	words, raw := texts(t, r, first+1), texts(t, r, first+4)
	for i, at := 0, 0; i < rows; i++ {
		if i%7 == 3 {
			if defs[i] != 0 || words[i] != "null" || raw[i] != "null" {
				t.Fatalf("row %d is there: %s %s", i, words[i], raw[i])
			}
			continue
		}
		if numbers[at] != int64(i) || halves[at] != float64(i)+0.5 || odd[at] != (i%2 == 1) ||
			words[i] != fmt.Sprintf("%q", fmt.Sprintf("%d\n", i)) || raw[i] != fmt.Sprintf("%q", fmt.Sprintf(`"%d\n"`, i)) {
			t.Fatalf("row %d: %d %v %v %s %s", i, numbers[at], halves[at], odd[at], words[i], raw[i])
		}
		at++
	}
}

// Whatever a value is, it is typed or dead; what is typed as JSON is what a decoder finds there.
func FuzzTyping(f *testing.F) {
	for _, s := range []string{`{"a": {"b": [1]}, "c": "x", "d": 1.5}`, `{"a": "\ud800", "\u0061": 1}`, `[`, `{"c": "\""}`, " {\n\"d\" :\t-0e1 } "} {
		f.Add([]byte(s))
	}
	schema, err := columns.Parse("a json, c string, d double")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var table Table
		if err := NewTyping(schema).Append(&table, &Row{Record: batch.Record{Value: value}}); err != nil || value == nil {
			return
		}
		var want struct {
			A json.RawMessage `json:"a"`
			C *string         `json:"c"`
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(value, &fields); err != nil {
			t.Fatalf("%q is typed: %v", value, err)
		}
		want.A = fields["a"]
		if is := table.cells[0]; is.there != (want.A != nil && string(want.A) != "null") || is.there && !bytes.Equal(is.at(value), want.A) {
			t.Fatalf("%q: a is %+v, want %s", value, is, want.A)
		}
		if is := table.cells[1]; is.there {
			if err := json.Unmarshal(fields["c"], &want.C); err != nil || string(textOf(is.at(value))) != *want.C {
				t.Fatalf("%q: c is %q, want %v, %v", value, textOf(is.at(value)), want.C, err)
			}
		}
	})
}
