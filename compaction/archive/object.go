package archive

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/metadata"
)

// Object is an object of the archive while it is made: rows are appended, some at a time, and encoded at once.
// Nothing of them is held but what the object will have, and a page of each column.
type Object struct {
	Summary
	encoder *Encoder
	info    Info
	out     bytes.Buffer
	writer  *file.Writer
	group   file.BufferedRowGroupWriter
	inGroup int // rows
}

// Summary is what the row of an object says of its rows.
type Summary struct {
	Rows                       int64
	First, Last                int64 // offsets
	MinTimestamp, MaxTimestamp int64 // ms
}

// Begin begins an object. An Encoder makes several at a time, by one goroutine.
func (e *Encoder) Begin(info Info) (*Object, error) {
	if info.Dead {
		info.Columns = nil
	}
	root, err := schemaOf(&info)
	if err != nil {
		return nil, err
	}
	meta := metadata.NewKeyValueMetadata()
	texts := [][2]string{
		{"wadi.cluster", info.Cluster}, {"wadi.topic", info.Topic}, {"wadi.topic.id", info.TopicID},
		{"wadi.partition", strconv.Itoa(int(info.Partition))},
	}
	if len(info.Columns) > 0 {
		texts = append(texts, [2]string{metaColumns, info.Columns.String()})
	}
	for _, kv := range texts {
		if err := meta.Append(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	o := &Object{encoder: e, info: info, out: *bytes.NewBuffer(e.spare[:0])}
	e.spare = nil
	o.writer = file.NewParquetWriter(&o.out, root, file.WithWriterProps(properties(info.Columns)), file.WithWriteMetadata(meta))
	return o, nil
}

// Append encodes rows, which nothing of the object refers to afterwards. How rows are divided among calls has a part in where
// pages end, and in nothing else.
func (o *Object) Append(t *Table) error {
	typed := len(o.info.Columns)
	if len(t.cells) != len(t.Rows)*typed || o.info.Dead && len(t.errors) != len(t.Rows) {
		return fmt.Errorf("%d typed values of %d rows and %d columns, %d errors", len(t.cells), len(t.Rows), typed, len(t.errors))
	}
	for from := 0; from < len(t.Rows); {
		to := from
		for bytes := 0; to < len(t.Rows) && to-from < WindowRows && bytes < WindowBytes; to++ {
			bytes += len(t.Rows[to].Key) + len(t.Rows[to].Value)
		}
		part := t.part(from, to, typed)
		if err := o.window(&part); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// window encodes some rows.
func (o *Object) window(t *Table) error {
	if o.inGroup >= rowsPerGroup {
		if err := o.endGroup(); err != nil {
			return err
		}
	}
	if o.group == nil {
		o.group = o.writer.AppendBufferedRowGroup()
	}
	for i, write := range o.encoder.columns(&o.info, t) {
		column, err := o.group.Column(i)
		if err == nil {
			err = write(column)
		}
		if err == nil && o.encoder.Pause != nil {
			err = o.encoder.Pause()
		}
		if err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	o.inGroup += len(t.Rows)
	o.note(t.Rows)
	return nil
}

func (s *Summary) note(rows []Row) {
	if s.Rows == 0 {
		s.First, s.MinTimestamp, s.MaxTimestamp = rows[0].Offset, rows[0].Timestamp, rows[0].Timestamp
	}
	s.Rows += int64(len(rows))
	s.Last = rows[len(rows)-1].Offset
	for i := range rows {
		s.MinTimestamp, s.MaxTimestamp = min(s.MinTimestamp, rows[i].Timestamp), max(s.MaxTimestamp, rows[i].Timestamp)
	}
}

func (o *Object) endGroup() error {
	o.out.Grow(int(o.group.TotalCompressedBytes()) + footerBytes)
	if err := o.group.Close(); err != nil {
		return fmt.Errorf("close a row group: %w", err)
	}
	o.group, o.inGroup = nil, 0
	return nil
}

// footerBytes is about what an object has beside its pages' bytes: headers, dictionaries, the footer.
const footerBytes = 256 << 10

// Finish returns the object, whose memory is the Encoder's again when the next one begins. There must be rows in it.
func (o *Object) Finish() ([]byte, error) {
	if err := o.endGroup(); err != nil {
		return nil, err
	}
	for _, kv := range [][2]string{
		{"wadi.offset.first", strconv.FormatInt(o.First, 10)}, {"wadi.offset.last", strconv.FormatInt(o.Last, 10)},
	} {
		if err := o.writer.AppendKeyValueMetadata(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	if err := o.writer.Close(); err != nil {
		return nil, fmt.Errorf("close the object: %w", err)
	}
	body := o.out.Bytes()
	o.encoder.spare = body
	return body, nil
}
