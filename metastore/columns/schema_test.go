package columns

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":         "",
		" \n":      "",
		"a int64":  "a int64",
		"a  INT64": "a int64",
		"a int64, b double from \"unit-price\",\n c json ":                                                  `a int64, b double from "unit-price", c json`,
		`b string from "a, \"x\" int64"`:                                                                    `b string from "a, \"x\" int64"`,
		`a timestamp,b timestamp_ms,c date,d boolean,e string`:                                              `a timestamp, b timestamp_ms, c date, d boolean, e string`,
		`{"id": 1, "price": 1.5, "big": 1e3, "ok": true, "at": "2026-01-02T03:04:05.5+02:00"}`:              `id int64, price double, big double, ok boolean, at timestamp`,
		` {"on": "2026-01-02", "note": "2026-13-02", "tags": [1], "where": {"lat": 1}, "neg": -7, "e": ""}`: `on date, note string, tags json, where json, neg int64, e string`,
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: %q, %v", text, s.String(), err)
		}
		if again, err := Parse(s.String()); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Errorf("%q read again: %v, %v", s.String(), again, err)
		}
	}
}

func TestParse_Refused(t *testing.T) {
	many := strings.Repeat("a int64,", columnsMax) + "b int64"
	for text, why := range map[string]string{
		"a":                                 "no column",
		"a int64,":                          "no column follows",
		",a int64":                          "no column",
		"a int64 b":                         "no column",
		"a int64 from b":                    "no column",
		`a int64 from "b`:                   "no column",
		`a int64 from "\x"`:                 "no string of JSON",
		"a varchar":                         "no type",
		"1a int64":                          "no name",
		"ü int64":                           "no name",
		strings.Repeat("a", 129) + " int64": "no name",
		"kafka_key string":                  "columns already",
		"Date date":                         "columns already",
		"a int64, A double":                 "twice",
		many:                                "1 to 200",
		`a int64 from "` + strings.Repeat("f", 300) + `"`: "256 bytes",
		"{}":                                    "1 to 200",
		`{"a": null}`:                           "null has no type",
		`{"a b": 1}`:                            "no name",
		`{"a": 1, "a": 2}`:                      "twice",
		`{"a": 1} x`:                            "something follows",
		`{"a": 1`:                               "no JSON",
		`{"a": NaN}`:                            "no JSON",
		`{"date": "2026-01-02"}`:                "columns already",
		`{"a": ` + strings.Repeat("[", 100_000): "no JSON",
		"{" + strings.Repeat(`"a":1,`, columnsMax+1) + `"b":1}`: "1 to 200",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), why) || len(err.Error()) > 500 {
			t.Errorf("%.80q: %v, %v", text, s, err)
		}
	}
}

// Columns may come and go; one that stays keeps its type.
func TestCheckChange(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"", "a int64", true},
		{"a int64", "", true},
		{"a int64", "b string, a int64", true},
		{"a int64", "a double", false},
		{"a int64", "A double", false},
		{"a int64", `a_double double from "a"`, true},
		{"a timestamp", "a timestamp_ms", true},
		{`a int64 from "x"`, `a int64 from "y"`, true},
	} {
		from, _ := Parse(c.from)
		to, err := Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckChange(from, to); (err == nil) != c.ok {
			t.Errorf("from %q to %q: %v", c.from, c.to, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a int64", `a int64 from "b"`, `{"a": [1, {"b": null}], "c": "2026-01-02"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Fatalf("%q is %q, and that is %v, %v", text, s.String(), again, err)
		}
	})
}
