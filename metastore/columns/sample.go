package columns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// sampled reads a sample: a column for each field, in their order, of the type that the
// field's value has. Objects and arrays are kept as JSON.
func sampled(text string) (Schema, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if _, err := d.Token(); err != nil { // the brace
		return nil, notJSON(err)
	}
	var s Schema
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, notJSON(err)
		}
		field := key.(string) // the decoder takes nothing else for a key
		t, err := typeOf(value)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", cut(field), err)
		}
		if s = append(s, Column{Name: field, Type: t, Field: field}); len(s) > columnsMax {
			return s, nil // refused by check
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the sample")
	}
	return s, nil
}

func notJSON(err error) error { return fmt.Errorf("the sample is no JSON: %w", err) }

// typeOf returns the type of the column that has such values.
func typeOf(value json.RawMessage) (Type, error) {
	switch value[0] {
	case 't', 'f':
		return Boolean, nil
	case '{', '[':
		return JSON, nil
	case '"':
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return "", err
		}
		if _, err := time.Parse(time.RFC3339, s); err == nil {
			return Timestamp, nil
		}
		if _, err := time.Parse(time.DateOnly, s); err == nil {
			return Date, nil
		}
		return String, nil
	case 'n':
		return "", errors.New("null has no type: give it a value, or declare the columns")
	}
	if strings.ContainsAny(string(value), ".eE") {
		return Double, nil
	}
	return Int64, nil
}
