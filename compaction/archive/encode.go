package archive

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/wire/batch"
)

// Row is a record as the archive has it. Its bytes may alias a batch.
type Row struct {
	batch.Record
	AppendTime bool // its timestamp is that of its append
}

// Size is what a row takes in memory, in bytes.
func (r *Row) Size() int {
	n := RowBytesMin + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += headerBytes + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// RowBytesMin is what a row takes that has nothing in it.
const RowBytesMin = 112

const headerBytes = 48

// rowsPerGroup bounds a row group, about; a job's bytes do so before, unless rows are tiny.
const rowsPerGroup = 1 << 20

// WindowRows and WindowBytes bound the rows that are encoded at once, a column after the other: fewer, and the columns'
// dictionaries leave the processor's cache in between; more, and the rows do.
const (
	WindowRows  = 8192
	WindowBytes = 1 << 20
)

// What is handed to a column at once; it looks at its page's size only in between.
const (
	chunkRows  = 1024
	chunkBytes = 1 << 20
)

// Encoder is the memory in which objects are made.
type Encoder struct {
	values       []parquet.ByteArray
	ints         []int64
	doubles      []float64
	booleans     []bool
	days         []int32
	invalid      []int // rows
	levels, reps []int16
	spare        []byte // of an object that was made
	// Pause, unless nil, is called after each column of some rows, so that whoever encodes can let others have the processor.
	Pause func() error
}

// Encode returns the object of a table. Deterministic.
func (e *Encoder) Encode(info Info, t *Table) ([]byte, error) {
	o, err := e.Begin(info)
	if err != nil {
		return nil, err
	}
	if err := o.Append(t); err != nil {
		return nil, err
	}
	return o.Finish()
}

// writer writes a column.
type writer func(file.ColumnChunkWriter) error

// columns are what writes some rows to each column, in the order of the schema.
func (e *Encoder) columns(info *Info, t *Table) []writer {
	rows := t.Rows
	topic := parquet.ByteArray(info.Topic)
	create, logAppend := timestampType(false), timestampType(true)
	columns := []writer{
		e.bytes(rows, func(int) []byte { return topic }, false),
		func(w file.ColumnChunkWriter) error { return e.partitions(w, info.Partition, len(rows)) },
		e.numbers(rows, func(i int) (int64, bool) { return rows[i].Offset, true }, false),
		e.numbers(rows, func(i int) (int64, bool) { return rows[i].Timestamp * 1000, hasTime(rows[i].Timestamp) }, true),
		e.bytes(rows, func(i int) []byte {
			if rows[i].AppendTime {
				return logAppend
			}
			return create
		}, false),
		e.bytes(rows, func(i int) []byte { return rows[i].Key }, true),
		e.headers(rows, headerName, 1),
		e.headers(rows, func(h *batch.RecordHeader) []byte { return h.Value }, 2),
	}
	columns = append(columns, e.valueColumns(rows, info.value())...)
	for i := range info.Columns {
		columns = append(columns, e.typed(t, info.Columns, i))
	}
	if info.Dead {
		columns = append(columns, e.bytes(rows, func(i int) []byte { return []byte(t.errors[i]) }, false))
	}
	return columns
}

// valueColumns are those of the values: where they are typed, a second one has what isn't so.
func (e *Encoder) valueColumns(rows []Row, v Value) []writer {
	if v == Binary {
		return []writer{e.bytes(rows, func(i int) []byte { return rows[i].Value }, true)}
	}
	// Each value is looked at once, for both columns.
	e.invalid = e.invalid[:0]
	for i := range rows {
		if !v.valid(rows[i].Value) {
			e.invalid = append(e.invalid, i)
		}
	}
	next := 0 // of the invalid ones
	isInvalid := func(i int) bool {
		if i == 0 {
			next = 0
		}
		is := next < len(e.invalid) && e.invalid[next] == i
		if is {
			next++
		}
		return is
	}
	return []writer{
		e.bytes(rows, func(i int) []byte {
			if isInvalid(i) {
				return nil
			}
			return rows[i].Value
		}, true),
		e.bytes(rows, func(i int) []byte {
			if isInvalid(i) {
				return rows[i].Value
			}
			return nil
		}, true),
	}
}

// headerName is a header's name as UTF-8.
func headerName(h *batch.RecordHeader) []byte {
	if utf8.Valid(h.Key) {
		return h.Key
	}
	return bytes.ToValidUTF8(h.Key, []byte("\uFFFD"))
}

// valid tells whether a value can be typed so.
func (v Value) valid(value []byte) bool {
	switch v {
	case String:
		return utf8.Valid(value)
	case JSON:
		return value == nil || utf8.Valid(value) && json.Valid(value)
	}
	return true
}

func timestampType(appendTime bool) []byte {
	if appendTime {
		return []byte("LogAppendTime")
	}
	return []byte("CreateTime")
}

// bytes returns what writes a column of bytes; of an optional one nil is null.
func (e *Encoder) bytes(rows []Row, of func(i int) []byte, optional bool) writer {
	return func(w file.ColumnChunkWriter) error {
		column := w.(*file.ByteArrayColumnChunkWriter)
		e.reset()
		size := 0
		for i := range rows {
			v := of(i)
			if v != nil || !optional {
				e.values = append(e.values, v)
				size += len(v)
			}
			if optional {
				e.levels = append(e.levels, level(v != nil, 1))
			}
			if i+1 == len(rows) || (i+1)%chunkRows == 0 || size >= chunkBytes {
				if err := e.flush(column); err != nil {
					return err
				}
				size = 0
			}
		}
		return nil
	}
}

func level(there bool, n int16) int16 {
	if there {
		return n
	}
	return n - 1
}

func (e *Encoder) reset() {
	e.values, e.ints, e.levels, e.reps = e.values[:0], e.ints[:0], e.levels[:0], e.reps[:0]
}

// flush hands what is gathered to a column of bytes.
func (e *Encoder) flush(column *file.ByteArrayColumnChunkWriter) error {
	var levels, reps []int16
	if len(e.levels) > 0 {
		levels = e.levels
	}
	if len(e.reps) > 0 {
		reps = e.reps
	}
	_, err := column.WriteBatch(e.values, levels, reps)
	clear(e.values)
	e.reset()
	return err
}

// headers returns what writes one of the columns of headers, whose definition level is
// defined where it isn't null.
func (e *Encoder) headers(rows []Row, of func(*batch.RecordHeader) []byte, defined int16) writer {
	return func(w file.ColumnChunkWriter) error {
		column := w.(*file.ByteArrayColumnChunkWriter)
		e.reset()
		size := 0
		for i := range rows {
			headers := rows[i].Headers
			if len(headers) == 0 {
				e.levels, e.reps = append(e.levels, 0), append(e.reps, 0)
			}
			for k := range headers {
				v := of(&headers[k])
				if v != nil || defined == 1 {
					e.values = append(e.values, v)
					size += len(v)
				}
				e.levels = append(e.levels, level(v != nil || defined == 1, defined))
				e.reps = append(e.reps, level(k > 0, 1))
			}
			if i+1 == len(rows) || len(e.levels) >= chunkRows || size >= chunkBytes {
				if err := e.flush(column); err != nil {
					return err
				}
				size = 0
			}
		}
		return nil
	}
}

func (e *Encoder) partitions(w file.ColumnChunkWriter, partition int32, n int) error {
	column := w.(*file.Int32ColumnChunkWriter)
	e.days = e.days[:0]
	for range n {
		e.days = append(e.days, partition)
	}
	_, err := column.WriteBatch(e.days, nil, nil)
	return err
}

// numbers returns what writes a column of 64-bit numbers.
func (e *Encoder) numbers(rows []Row, of func(i int) (int64, bool), optional bool) writer {
	return func(w file.ColumnChunkWriter) error {
		column := w.(*file.Int64ColumnChunkWriter)
		e.reset()
		for i := range rows {
			n, ok := of(i)
			if ok {
				e.ints = append(e.ints, n)
			}
			if optional {
				e.levels = append(e.levels, level(ok, 1))
			}
			if i+1 < len(rows) && (i+1)%chunkRows != 0 {
				continue
			}
			var levels []int16
			if optional {
				levels = e.levels
			}
			if _, err := column.WriteBatch(e.ints, levels, nil); err != nil {
				return err
			}
			e.reset()
		}
		return nil
	}
}
