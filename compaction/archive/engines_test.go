package archive

import (
	"net/url"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore/columns"
)

// Each engine's statement names the place and, where it lists columns, the value as it is typed.
func TestSQL(t *testing.T) {
	bucket := url.URL{Scheme: "s3", Host: "b", Path: "/p", RawQuery: "region=eu"}
	for _, e := range Engines() {
		text, err := SQL(e, bucket, Listed{Topic: "a.b", Value: JSON})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "//b/p/archive/a.b/") || strings.Contains(text, "region") || !strings.Contains(text, "a_b") {
			t.Errorf("%s:\n%s", e, text)
		}
	}
	for value, want := range map[Value]string{Binary: "kafka_value binary\n", String: "kafka_value string,\n"} {
		if text, _ := SQL("athena", bucket, Listed{Topic: "t", Value: value}); !strings.Contains(text, want) {
			t.Errorf("%s:\n%s", value, text)
		}
	}
	if text, _ := SQL("duckdb", url.URL{Scheme: "file", Path: "/data/x's"}, Listed{Topic: "t", Value: Binary}); !strings.Contains(text, "'/data/x''s/archive/t/*/*/*.parquet'") {
		t.Error(text)
	}
	typed, err := columns.Parse("id int64, price double, at timestamp, on_day date, ok boolean, tags json, note string")
	if err != nil {
		t.Fatal(err)
	}
	for engine, want := range map[string]string{
		"athena":   "kafka_value binary,\n  `id` bigint,\n  `price` double,\n  `at` timestamp,\n  `on_day` date,\n  `ok` boolean,\n  `tags` string,\n  `note` string\n)",
		"redshift": "\"id\" bigint,\n  \"price\" double precision,\n  \"at\" timestamp,\n  \"on_day\" date,\n  \"ok\" boolean,\n  \"tags\" varchar(65535),",
	} {
		if text, _ := SQL(engine, bucket, Listed{Topic: "t", Value: Binary, Columns: typed}); !strings.Contains(text, want) || !NeedsColumns(engine) {
			t.Errorf("%s:\n%s", engine, text)
		}
	}
	for _, e := range Engines() {
		text, err := SQL(e, bucket, Listed{Topic: "t.u", Value: JSON, Columns: typed, Dead: true})
		if err != nil || !strings.Contains(text, "/archive/t.u__dlq") || !strings.Contains(text, "t_u__dlq") || strings.Contains(text, "price") || NeedsColumns(e) && !strings.Contains(text, "kafka_error ") {
			t.Errorf("%s: %v\n%s", e, err, text)
		}
	}
	if _, err := SQL("oracle", bucket, Listed{Topic: "t", Value: Binary}); err == nil {
		t.Error("an engine that isn't")
	}
}
