package columns

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Type is what a column holds. Persisted in the objects' metadata, and in topics' configs.
type Type string

// The types, and what a field must be. null, or no such field, is null in all of them.
const (
	Boolean     Type = "boolean"      // true or false
	Int64       Type = "int64"        // a number without point and exponent
	Double      Type = "double"       // a number that a double isn't too small for
	String      Type = "string"       // a string
	Timestamp   Type = "timestamp"    // a string as RFC 3339 has it
	TimestampMs Type = "timestamp_ms" // a number: ms since 1970
	Date        Type = "date"         // a string as 2026-12-31
	JSON        Type = "json"         // anything, kept as JSON
)

// Types names the types.
func Types() []Type {
	return []Type{Boolean, Int64, Double, String, Timestamp, TimestampMs, Date, JSON}
}

// Column is one column.
type Column struct {
	Name  string
	Type  Type
	Field string // of the value, a JSON object
}

// Schema is the columns in their order.
type Schema []Column

// Bounds of a schema.
const (
	columnsMax    = 200
	nameBytesMax  = 128
	fieldBytesMax = 256
)

// Parse reads a schema: a sample, which is a JSON object, or columns separated by commas, each its name,
// its type and, where the field has another name, `from "field"`. Nothing is a schema without columns.
func Parse(text string) (Schema, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	var s Schema
	var err error
	if text[0] == '{' {
		s, err = sampled(text)
	} else {
		s, err = declared(text)
	}
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// declared reads a declaration.
func declared(text string) (Schema, error) {
	var s Schema
	for rest := text; ; {
		m := declaration.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("%q is no column: NAME TYPE, or NAME TYPE from \"FIELD\"", cut(rest))
		}
		c := Column{Name: m[1], Type: Type(strings.ToLower(m[2])), Field: m[1]}
		if m[3] != "" {
			if err := json.Unmarshal([]byte(m[3]), &c.Field); err != nil {
				return nil, fmt.Errorf("column %s: %s is no string of JSON", c.Name, cut(m[3]))
			}
		}
		if !slices.Contains(Types(), c.Type) {
			return nil, fmt.Errorf("column %s: %q is no type: there are %s", c.Name, cut(m[2]), join(Types()))
		}
		if s = append(s, c); len(s) > columnsMax {
			return s, nil // refused by check
		}
		if rest = rest[len(m[0]):]; rest == "" {
			if strings.HasSuffix(strings.TrimSpace(m[0]), ",") {
				return nil, fmt.Errorf("no column follows %q", cut(m[0]))
			}
			return s, nil
		}
	}
}

// declaration matches a column up to the comma after it, or the end.
var declaration = regexp.MustCompile(`^\s*([^\s,"]+)\s+([^\s,"]+)(?:\s+(?i:from)\s+("(?:[^"\\]|\\.)*"))?\s*(?:,\s*|$)`)

func join(types []Type) string {
	texts := make([]string, len(types))
	for i, t := range types {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

// reserved are the names of the columns that every archive has, and of its folders.
func reserved(lower string) bool {
	return strings.HasPrefix(lower, "kafka_") || lower == "date" || lower == "hour"
}

// check says why a schema can't be that of an archive.
func (s Schema) check() error {
	if len(s) == 0 || len(s) > columnsMax {
		return fmt.Errorf("%d columns: there must be 1 to %d", len(s), columnsMax)
	}
	seen := map[string]bool{}
	for _, c := range s {
		lower := strings.ToLower(c.Name)
		switch {
		case !isName(c.Name):
			return fmt.Errorf("%q is no name of a column in every warehouse (letters of ASCII, digits and _, not a digit first, %d at most): declare NAME TYPE from \"FIELD\"", cut(c.Name), nameBytesMax)
		case reserved(lower):
			return fmt.Errorf("column %s: kafka_…, date and hour are columns already: declare NAME TYPE from %q", c.Name, c.Field)
		case seen[lower]:
			return fmt.Errorf("column %s is there twice: most warehouses don't tell capitals from small letters", c.Name)
		case len(c.Field) > fieldBytesMax:
			return fmt.Errorf("column %s: a field's name has %d bytes at most", c.Name, fieldBytesMax)
		}
		seen[lower] = true
	}
	return nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= nameBytesMax
}

// cut shortens what somebody wrote for a message.
func cut(s string) string {
	const bytesMax = 60
	if len(s) <= bytesMax {
		return s
	}
	return strings.ToValidUTF8(s[:bytesMax], "") + "…"
}

// String is the schema as a declaration, which Parse reads.
func (s Schema) String() string {
	var b strings.Builder
	for i, c := range s {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", c.Name, c.Type)
		if c.Field != c.Name {
			field, _ := json.Marshal(c.Field) // a string always can be
			fmt.Fprintf(&b, " from %s", field)
		}
	}
	return b.String()
}
