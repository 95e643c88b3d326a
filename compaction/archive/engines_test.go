package archive

import (
	"net/url"
	"strings"
	"testing"
)

// Each engine's statement names the place and, where it lists columns, the value as it is typed.
func TestSQL(t *testing.T) {
	bucket := url.URL{Scheme: "s3", Host: "b", Path: "/p", RawQuery: "region=eu"}
	for _, e := range Engines() {
		text, err := SQL(e, bucket, "a.b", JSON)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "//b/p/archive/a.b/") || strings.Contains(text, "region") || !strings.Contains(text, "a_b") {
			t.Errorf("%s:\n%s", e, text)
		}
	}
	for value, want := range map[Value]string{Binary: "kafka_value binary\n", String: "kafka_value string,\n"} {
		if text, _ := SQL("athena", bucket, "t", value); !strings.Contains(text, want) {
			t.Errorf("%s:\n%s", value, text)
		}
	}
	if text, _ := SQL("duckdb", url.URL{Scheme: "file", Path: "/data/x's"}, "t", Binary); !strings.Contains(text, "'/data/x''s/archive/t/*/*/*.parquet'") {
		t.Error(text)
	}
	if _, err := SQL("oracle", bucket, "t", Binary); err == nil {
		t.Error("an engine that isn't")
	}
}
