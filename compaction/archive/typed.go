package archive

import (
	"math"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/metastore/columns"
)

// typed returns what writes the typed column k of a schema.
func (e *Encoder) typed(t *Table, s columns.Schema, k int) writer {
	rows := t.Rows
	of := func(i int) cell { return t.cells[i*len(s)+k] }
	switch kind, physical := s[k].Type, storedAs(s[k].Type); physical {
	case parquet.Types.Boolean:
		return func(w file.ColumnChunkWriter) error {
			return writeCells(len(rows), of, &e.booleans, &e.levels, func(c cell) bool { return c.n != 0 }, w.(*file.BooleanColumnChunkWriter).WriteBatch)
		}
	case parquet.Types.Int32:
		return func(w file.ColumnChunkWriter) error {
			return writeCells(len(rows), of, &e.days, &e.levels, func(c cell) int32 { return int32(int64(c.n)) }, w.(*file.Int32ColumnChunkWriter).WriteBatch)
		}
	case parquet.Types.Int64:
		return e.numbers(rows, func(i int) (int64, bool) { c := of(i); return int64(c.n), c.there }, true)
	case parquet.Types.Double:
		return func(w file.ColumnChunkWriter) error {
			return writeCells(len(rows), of, &e.doubles, &e.levels, func(c cell) float64 { return math.Float64frombits(c.n) }, w.(*file.Float64ColumnChunkWriter).WriteBatch)
		}
	default:
		return e.bytes(rows, func(i int) []byte {
			c := of(i)
			if !c.there {
				return nil
			}
			raw := c.at(rows[i].Value)
			if kind == columns.String {
				return textOf(raw)
			}
			return raw
		}, true)
	}
}

func storedAs(t columns.Type) parquet.Type {
	_, physical := stored(t)
	return physical
}

// textOf is the text of a string of JSON, never nil.
func textOf(raw []byte) []byte {
	for _, b := range raw {
		if b == '\\' {
			s, _ := unquote(raw) // it was one when it was typed
			return append(make([]byte, 0, len(s)), s...)
		}
	}
	return raw[1 : len(raw)-1]
}

// writeCells writes an optional column of plain values, some at once.
func writeCells[T any](n int, of func(i int) cell, values *[]T, levels *[]int16, value func(cell) T, write func([]T, []int16, []int16) (int64, error)) error {
	*values, *levels = (*values)[:0], (*levels)[:0]
	for i := range n {
		c := of(i)
		if c.there {
			*values = append(*values, value(c))
		}
		*levels = append(*levels, level(c.there, 1))
		if i+1 < n && (i+1)%chunkRows != 0 {
			continue
		}
		if _, err := write(*values, *levels, nil); err != nil {
			return err
		}
		*values, *levels = (*values)[:0], (*levels)[:0]
	}
	return nil
}
