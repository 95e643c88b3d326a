package columns

import (
	"fmt"
	"strings"
)

// CheckChange says why an archive that has been written by one schema can't go on by another: a
// column keeps its type, since a table has one for each. Columns may come and go.
func CheckChange(from, to Schema) error {
	was := map[string]Column{}
	for _, c := range from {
		was[strings.ToLower(c.Name)] = c
	}
	for _, c := range to {
		if old, ok := was[strings.ToLower(c.Name)]; ok && old.Type.Stored() != c.Type.Stored() {
			return fmt.Errorf("column %s is %s, and a table has one type for a column: give the new one another name (%s_%s %s from %q)",
				old.Name, old.Type, c.Name, c.Type, c.Type, c.Field)
		}
	}
	return nil
}

// Stored is the type as the objects have it: two of them come of different fields and are the same.
func (t Type) Stored() Type {
	if t == TimestampMs {
		return Timestamp
	}
	return t
}
