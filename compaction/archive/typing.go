package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/wadi-io/wadi/metastore/columns"
)

// nestingMax bounds the depth of a value that is typed: not every reader of JSON goes deeper.
const nestingMax = 500

// cell is the value of a typed column in a row: bits of a number, or where in the record's
// value its JSON lies.
type cell struct {
	n     uint64
	there bool // else null
}

// cellBytes is what a cell takes in memory.
const cellBytes = 16

// Typing reads the typed columns out of records' values.
type Typing struct {
	schema columns.Schema
	fields map[string][]int // the columns of each field
	cells  []cell           // of the row that is read
	seen   []bool
}

// NewTyping returns the typing by a schema, nil by one without columns.
func NewTyping(s columns.Schema) *Typing {
	if len(s) == 0 {
		return nil
	}
	t := &Typing{schema: s, fields: map[string][]int{}, cells: make([]cell, len(s)), seen: make([]bool, len(s))}
	for i, c := range s {
		t.fields[c.Field] = append(t.fields[c.Field], i)
	}
	return t
}

// Append appends a row with its typed columns to table. An error says why they can't be read
// from it: then it is not appended.
func (t *Typing) Append(table *Table, r *Row) error {
	clear(t.cells)
	clear(t.seen)
	if r.Value != nil {
		if err := t.read(r.Value); err != nil {
			return err
		}
	}
	table.Append(r)
	table.cells = append(table.cells, t.cells...)
	return nil
}

// RowBytes is what the columns of a row take in memory, in bytes.
func (t *Typing) RowBytes() int { return len(t.schema) * cellBytes }

var errNoObject = errors.New("the value is no object of JSON")

// read fills the cells from a value.
func (t *Typing) read(value []byte) error {
	if !utf8.Valid(value) {
		return errors.New("the value is not UTF-8")
	}
	if !json.Valid(value) {
		return errors.New("the value is no JSON")
	}
	// What follows relies on that.
	at := space(value, 0)
	if value[at] != '{' {
		return errNoObject
	}
	for at = space(value, at+1); value[at] != '}'; {
		end := text(value, at)
		of := t.columns(value[at:end])
		begin := space(value, space(value, end)+1) // after the colon
		var err error
		if at, err = skip(value, begin); err != nil {
			return err
		}
		for _, i := range of {
			if t.seen[i] {
				return fmt.Errorf("field %q is there twice", clip(t.schema[i].Field))
			}
			t.seen[i] = true
			if t.cells[i], err = convert(t.schema[i].Type, value[begin:at], begin); err != nil {
				return fmt.Errorf("column %s: %w", t.schema[i].Name, err)
			}
		}
		if at = space(value, at); value[at] == ',' {
			at = space(value, at+1)
		}
	}
	return nil
}

// columns returns the columns of a field, by its key as it stands there.
func (t *Typing) columns(key []byte) []int {
	if bytes.IndexByte(key, '\\') < 0 {
		return t.fields[string(key[1:len(key)-1])]
	}
	name, _ := unquote(key) // one that isn't Unicode is no column's
	return t.fields[name]
}

// space returns where what isn't white space begins.
func space(b []byte, at int) int {
	for b[at] == ' ' || b[at] == '\n' || b[at] == '\t' || b[at] == '\r' {
		at++
	}
	return at
}

// text returns the end of the string that begins at at.
func text(b []byte, at int) int {
	for at++; b[at] != '"'; at++ {
		if b[at] == '\\' {
			at++
		}
	}
	return at + 1
}

// skip returns the end of the value that begins at at.
func skip(b []byte, at int) (int, error) {
	for depth := 0; ; at++ {
		switch b[at] {
		case '"':
			at = text(b, at) - 1
		case '{', '[':
			if depth++; depth >= nestingMax {
				return 0, fmt.Errorf("the value is nested deeper than %d", nestingMax)
			}
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			for at < len(b) && strings.IndexByte(",}] \t\r\n", b[at]) < 0 {
				at++
			}
			return at, nil
		}
		if depth == 0 {
			return at + 1, nil
		}
	}
}

// unquote decodes a string. Half of a surrogate pair is no character.
func unquote(raw []byte) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	if !paired(raw) {
		return "", errors.New("half of a surrogate pair is no character")
	}
	return s, nil
}

// paired tells whether a string's escapes have no half of a surrogate pair.
func paired(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		first := unit(raw[i+1:])
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		if raw[i+1] != '\\' || raw[i+2] != 'u' || utf16.DecodeRune(first, unit(raw[i+3:])) == utf8.RuneError {
			return false
		}
		i += 6
	}
	return true
}

// unit decodes the four digits of an escape.
func unit(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // valid: JSON has been checked
	return rune(n)
}

// convert makes a cell of a field's value, raw, which begins at at in the record's.
func convert(t columns.Type, raw []byte, at int) (cell, error) {
	if raw[0] == 'n' {
		return cell{}, nil
	}
	number, quoted := raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9', raw[0] == '"'
	is := cell{there: true}
	var err error
	ok := true
	switch t {
	case columns.Boolean:
		if ok = raw[0] == 't' || raw[0] == 'f'; raw[0] == 't' {
			is.n = 1
		}
	case columns.Int64:
		var n int64
		n, err = strconv.ParseInt(string(raw), 10, 64)
		is.n, ok = uint64(n), err == nil
	case columns.TimestampMs:
		var n int64
		n, err = strconv.ParseInt(string(raw), 10, 64)
		is.n, ok = uint64(n*1000), err == nil && n >= timeMin && n <= timestampMax
	case columns.Double:
		if ok = number; ok {
			is.n, ok = double(raw)
		}
	case columns.String:
		if ok = quoted; ok && bytes.IndexByte(raw, '\\') >= 0 {
			_, err = unquote(raw)
			ok = err == nil
		}
		is.n = place(at, raw)
	case columns.Timestamp, columns.Date:
		if ok = quoted; ok {
			is.n, ok = moment(t, raw)
		}
	case columns.JSON:
		is.n = place(at, raw)
	}
	if !ok {
		return cell{}, fmt.Errorf("%s is no %s", clip(string(raw)), t)
	}
	return is, nil
}

// place says where a cell's JSON lies.
func place(at int, raw []byte) uint64 { return uint64(at)<<32 | uint64(len(raw)) }

// at returns the JSON of a cell.
func (c cell) at(value []byte) []byte { return value[c.n>>32 : c.n>>32+c.n&0xffff_ffff] }

// clip shortens what a message quotes of a record.
func clip(s string) string {
	const bytesMax = 60
	if len(s) <= bytesMax {
		return s
	}
	return strings.ToValidUTF8(s[:bytesMax], "") + "…"
}

// timeMin is the beginning of the year 1, in ms: warehouses know no earlier one.
const timeMin = -62_135_596_800_000

// double returns the bits of the nearest double; false where there is none.
func double(raw []byte) (uint64, bool) {
	f, err := strconv.ParseFloat(string(raw), 64)
	return math.Float64bits(f), err == nil
}

// moment returns the µs since 1970 that a timestamp says, rounded down, or the days that a date does.
func moment(t columns.Type, raw []byte) (uint64, bool) {
	s, err := unquote(raw)
	if err != nil {
		return 0, false
	}
	layout := time.RFC3339
	if t == columns.Date {
		layout = time.DateOnly
	}
	when, err := time.Parse(layout, s)
	if ms := when.UnixMilli(); err != nil || ms < timeMin || ms > timestampMax {
		return 0, false
	}
	if t == columns.Date {
		return uint64(when.Unix() / (24 * 3600)), true
	}
	return uint64(when.UnixMicro()), true
}
