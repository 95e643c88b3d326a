package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	inputLines = "lines"
	inputJSON  = "json"

	// lineBytesMax bounds one line of input.
	lineBytesMax = 64 << 20
)

// recordInput reads records from lines.
type recordInput struct {
	reader    io.Reader
	closer    io.Closer // nil: not ours to close
	format    string
	separator string
	partition int32
	headers   []kgo.RecordHeader

	lines *bufio.Reader
	line  int   // the last one read, from 1
	bytes int64 // read so far
}

// next returns the next record, or io.EOF.
func (in *recordInput) next() (*kgo.Record, error) {
	if in.lines == nil {
		in.lines = bufio.NewReaderSize(in.reader, 256<<10)
	}
	for {
		text, err := in.readLine()
		if err != nil {
			return nil, err
		}
		if in.format == inputJSON && len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		record, err := in.record(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", in.line, err)
		}
		if in.partition != anyPartition {
			record.Partition = in.partition
		}
		record.Headers = append(record.Headers, in.headers...)
		return record, nil
	}
}

// inputRecord is what next returned, and where in the input.
type inputRecord struct {
	record *kgo.Record
	line   int
	bytes  int64
	err    error // the last one: io.EOF, or what is wrong
}

// readInto sends the records and then an error, until ctx ends.
func (in *recordInput) readInto(ctx context.Context, records chan<- inputRecord) {
	for {
		record, err := in.next()
		select {
		case records <- inputRecord{record, in.line, in.bytes, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (in *recordInput) record(text []byte) (*kgo.Record, error) {
	if in.format == inputJSON {
		return fromJSON(text)
	}
	record := &kgo.Record{Partition: anyPartition, Value: text}
	if in.separator != "" {
		key, value, ok := bytes.Cut(text, []byte(in.separator))
		if !ok {
			return nil, fmt.Errorf("there is no key separator %q in it", in.separator)
		}
		record.Key, record.Value = key, value
	}
	return record, nil
}

// readLine returns a line of its own memory without its end (LF or CRLF). A last
// line without an end counts.
func (in *recordInput) readLine() ([]byte, error) {
	var line []byte
	for {
		piece, err := in.lines.ReadSlice('\n')
		line = append(line, piece...)
		in.bytes += int64(len(piece))
		if len(line) > lineBytesMax {
			return nil, fmt.Errorf("line %d: it is longer than %s", in.line+1, size(lineBytesMax))
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
		case err != nil:
			return nil, err
		}
		in.line++
		line = bytes.TrimSuffix(line, []byte("\n"))
		return slices.Clip(bytes.TrimSuffix(line, []byte("\r"))), nil
	}
}

func (in *recordInput) close() {
	if in.closer != nil {
		in.closer.Close()
	}
}
