package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordJSON is a record as a line of JSON: what consume -o json prints and what
// produce --input json takes. Bytes that aren't text are base64, and say so.
type recordJSON struct {
	Topic         string          `json:"topic,omitempty"`
	Partition     *int32          `json:"partition,omitempty"`
	Offset        *int64          `json:"offset,omitempty"`
	Timestamp     *time.Time      `json:"timestamp,omitempty"`
	Key           json.RawMessage `json:"key"`
	KeyEncoding   string          `json:"keyEncoding,omitempty"`
	Value         json.RawMessage `json:"value"`
	ValueEncoding string          `json:"valueEncoding,omitempty"`
	Headers       []headerJSON    `json:"headers,omitempty"`
}

type headerJSON struct {
	Key           string          `json:"key"`
	Value         json.RawMessage `json:"value"`
	ValueEncoding string          `json:"valueEncoding,omitempty"`
}

const encodingBase64 = "base64"

// encodeBytes gives bytes as a JSON string, or null, and how it is encoded.
func encodeBytes(b []byte) (json.RawMessage, string, error) {
	switch {
	case b == nil:
		return json.RawMessage("null"), "", nil
	case !utf8.Valid(b):
		text, err := json.Marshal(base64.StdEncoding.EncodeToString(b))
		return text, encodingBase64, err
	}
	text, err := json.Marshal(string(b))
	return text, "", err
}

// decodeBytes is the reverse. A JSON value that isn't a string is taken as it is
// written, so that {"value":{"a":1}} produces {"a":1}.
func decodeBytes(text json.RawMessage, encoding string) ([]byte, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	if encoding != "" && encoding != encodingBase64 {
		return nil, fmt.Errorf("the encoding %q is not base64", encoding)
	}
	if text[0] != '"' {
		if encoding != "" {
			return nil, errors.New("base64 is not in a string")
		}
		return text, nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if encoding == encodingBase64 {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, errors.New("it is not base64")
		}
		return b, nil
	}
	return []byte(s), nil
}

func toJSON(r *kgo.Record) (recordJSON, error) {
	timestamp := r.Timestamp.UTC()
	line := recordJSON{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &timestamp}
	var err error
	if line.Key, line.KeyEncoding, err = encodeBytes(r.Key); err != nil {
		return line, err
	}
	if line.Value, line.ValueEncoding, err = encodeBytes(r.Value); err != nil {
		return line, err
	}
	for _, h := range r.Headers {
		header := headerJSON{Key: h.Key}
		if header.Value, header.ValueEncoding, err = encodeBytes(h.Value); err != nil {
			return line, err
		}
		line.Headers = append(line.Headers, header)
	}
	return line, nil
}

// fromJSON reads a record. Its topic and offset, if there, are not for the
// producer to say and are left out.
func fromJSON(text []byte) (*kgo.Record, error) {
	var line recordJSON
	if err := json.Unmarshal(text, &line); err != nil {
		return nil, fmt.Errorf("not a JSON object with key, value, headers, partition, timestamp: %w", err)
	}
	r := &kgo.Record{Partition: anyPartition}
	var err error
	if r.Key, err = decodeBytes(line.Key, line.KeyEncoding); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = decodeBytes(line.Value, line.ValueEncoding); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	for _, h := range line.Headers {
		value, err := decodeBytes(h.Value, h.ValueEncoding)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	if line.Partition != nil {
		if r.Partition = *line.Partition; r.Partition < 0 {
			return nil, fmt.Errorf("%d is not a partition", r.Partition)
		}
	}
	if line.Timestamp != nil {
		r.Timestamp = *line.Timestamp
	}
	return r, nil
}
