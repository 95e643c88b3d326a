package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// lineBytesMax bounds one line, so that a file of one line can't fill memory.
const lineBytesMax = 16 << 20

// Reader reads a history line by line.
type Reader struct {
	Header Header
	in     *bufio.Reader
	line   int
	buffer []byte
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	reader := &Reader{in: bufio.NewReaderSize(r, 1<<18)}
	text, err := reader.next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("line 1: the header is missing: a history begins with {\"history\":1}")
	}
	if err == nil {
		err = decode(text, &reader.Header)
	}
	if err == nil {
		err = reader.Header.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", max(reader.line, 1), err)
	}
	return reader, nil
}

// Events yields the rest of the history, once. The first error ends it.
func (r *Reader) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			text, err := r.next()
			if errors.Is(err, io.EOF) {
				return
			}
			var e Event
			if err == nil {
				err = decode(text, &e)
			}
			if err == nil {
				err = e.validate()
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("line %d: %w", r.line, err))
				return
			}
			e.Line = r.line
			if !yield(e, nil) {
				return
			}
		}
	}
}

// next returns the next line that isn't blank; it is valid until the next call.
func (r *Reader) next() ([]byte, error) {
	for {
		r.buffer = r.buffer[:0]
		for {
			part, err := r.in.ReadSlice('\n')
			if len(r.buffer)+len(part) > lineBytesMax {
				r.line++
				return nil, fmt.Errorf("the line is longer than %d bytes", lineBytesMax)
			}
			r.buffer = append(r.buffer, part...)
			if err == nil || (errors.Is(err, io.EOF) && len(r.buffer) > 0) {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		r.line++
		if text := bytes.TrimSpace(r.buffer); len(text) > 0 {
			return text, nil
		}
	}
}

// decode is strict: a misspelt field would hide what it says.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.InputOffset() != int64(len(text)) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// Writer writes a history. Several clients may share one: lines stand in the
// order of the calls.
type Writer struct {
	mu struct {
		sync.Mutex
		out     *bufio.Writer
		encoder *json.Encoder
	}
}

// NewWriter writes the header; the version is set.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Version = Version
	if err := h.validate(); err != nil {
		return nil, err
	}
	writer := &Writer{}
	writer.mu.out = bufio.NewWriter(w)
	writer.mu.encoder = json.NewEncoder(writer.mu.out)
	writer.mu.encoder.SetEscapeHTML(false)
	return writer, writer.mu.encoder.Encode(h)
}

// Write appends an event.
func (w *Writer) Write(e Event) error {
	if err := e.validate(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.encoder.Encode(e)
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.out.Flush()
}
