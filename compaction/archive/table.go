package archive

import (
	"slices"

	"github.com/wadi-io/wadi/metastore/columns"
)

// Table is the rows of one object, in the order of their offsets.
type Table struct {
	Rows   []Row
	cells  []cell   // of typed columns: those of the first row, then those of the second …
	errors []string // of the dead: why each could not be typed
}

// DeadBytesMax bounds what AppendDead keeps beside a row, in bytes: names and what is quoted are cut.
const DeadBytesMax = 512

// AppendDead appends a row that could not be typed, and why.
func (t *Table) AppendDead(r *Row, why error) {
	t.Rows, t.errors = append(t.Rows, *r), append(t.errors, why.Error())
}

// Next returns where the row after the last one will be, for who decodes it there before it is appended.
func (t *Table) Next() *Row {
	n := len(t.Rows)
	if n == cap(t.Rows) {
		t.Rows = slices.Grow(t.Rows, 1)
	}
	return &t.Rows[:n+1][n]
}

// Reset forgets the rows, and keeps their memory.
func (t *Table) Reset() { t.Rows, t.cells, t.errors = t.Rows[:0], t.cells[:0], t.errors[:0] }

// Append appends a row.
func (t *Table) Append(r *Row) {
	if next := t.Next(); next != r {
		*next = *r
	}
	t.Rows = t.Rows[:len(t.Rows)+1]
}

// part is some of the rows, with what is beside them.
func (t *Table) part(from, to, columns int) Table {
	p := Table{Rows: t.Rows[from:to], cells: t.cells[from*columns : to*columns]}
	if len(t.errors) > 0 {
		p.errors = t.errors[from:to]
	}
	return p
}

// Dead is the kind of an object whose records could not be typed. Persisted in the objects' rows, where
// others have how kafka_value is typed.
const Dead = "dlq"

// metaColumns names the declaration of the typed columns in an object's metadata. Persisted; never change.
const metaColumns = "wadi.columns"

// Info says of what the rows of an object are.
type Info struct {
	Cluster   string
	Topic     string
	TopicID   string // as Kafka writes it
	Partition int32
	Value     Value
	Columns   columns.Schema // typed columns
	Dead      bool           // its rows could not be typed: it has no such columns, binary values, and the errors
}

// Kind is what the row of an object says of its values: Dead, or Value.
func (i *Info) Kind() string {
	if i.Dead {
		return Dead
	}
	return string(i.Value)
}

// value says how kafka_value is typed.
func (i *Info) value() Value {
	if i.Dead {
		return Binary
	}
	return i.Value
}
