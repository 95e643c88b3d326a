//go:build archive

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// orderRow is what both engines read of a typed order.
type orderRow struct {
	Offset int64    `json:"kafka_offset"`
	ID     *int64   `json:"id"`
	Price  *float64 `json:"price"`
	Note   *string  `json:"note"`
	At     *int64   `json:"at"` // µs
	Day    any      `json:"on_day"`
	Paid   *bool    `json:"paid"`
	Tags   *string  `json:"tags"`
	Count  *int64   `json:"amount"`
	Error  string   `json:"kafka_error"`
	Value  *string  `json:"kafka_value"`
}

// TestArchive_EnginesTyped: typed columns, hostile values beside them, and a schema that changes, as DuckDB and pyarrow read it.
func TestArchive_EnginesTyped(t *testing.T) {
	dir := t.TempDir()
	_, address := startDev(t, dir, "127.0.0.1:0", "--compaction-every", "500ms", "--config", "log.retention.check.interval.ms=200")
	h := &oldSegments{t: t, read: address}
	bucketURL, metastoreURL, err := folderURLs(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.metastore = metastoreURL
	c := h.client(address, kgo.DefaultProduceTopic("orders"))
	h.admin = kadm.NewClient(c)
	run(t, "topics", "create", "--kafka", address, "--partitions", "1", "--topic-config", "wadi.archive=parquet", "--topic-config", "wadi.archive.interval.ms=1000",
		"--topic-config", `wadi.archive.schema={"id": 1, "price": 1.5, "note": "a", "at": "2026-01-01T00:00:00Z", "on_day": "2026-01-02"}`, "orders").want(t, 0, "orders", "")
	produced := 0
	archive := func(values ...string) {
		for _, v := range values {
			r := &kgo.Record{Value: []byte(v), Timestamp: time.UnixMilli(1_700_000_000_000)}
			if v == "" {
				r.Value = nil
			}
			if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			produced++
		}
		h.await("the archive", func() string {
			rows := int64(0)
			for line := range strings.Lines(run(t, "archive", "list", "--metastore", h.metastore, "--output", "json", "orders").stdout) {
				var f archiveLine
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					t.Fatal(err)
				}
				if (f.Value == "dlq") != strings.HasPrefix(f.Object, "archive/orders__dlq/") {
					t.Fatalf("%+v", f)
				}
				rows += f.Rows
			}
			if rows != int64(produced) {
				return fmt.Sprintf("%d records of %d", rows, produced)
			}
			return ""
		})
	}
	archive(
		`{"id": 1, "price": 2, "note": "caf\u00e9 \"x\"", "at": "2026-01-02T03:04:05.678+01:00", "on_day": "1969-12-31", "tags": [1]}`,
		``,
		`{"id": 9223372036854775808}`,
		`{"id": 2, "price": 1e999}`,
		`{"id": 3, "price": NaN}`,
		"{\"id\": 4, \"note\": \"\xff\"}",
		`{"id": 5, "id": 6}`,
		strings.Repeat(`{"a":`, 600)+"1"+strings.Repeat("}", 600),
		`{"id": 7, "at": null}`,
	)
	// A column keeps its type, whoever asks; it may have another name, and others may come.
	alter := func(schema string) result {
		return run(t, "topics", "alter", "--kafka", address, "--topic-config", "wadi.archive.schema="+schema, "orders")
	}
	alter(`id string`).want(t, 1, "", "give the new one another name")
	alter(`id int64, price double, paid boolean, amount int64 from "price", tags json, at timestamp_ms from "when"`).want(t, 0, "altered orders", "")
	archive(
		`{"id": 8, "price": 4, "paid": true, "tags": {"a": [1, null]}, "when": 1700000000123, "note": "no column now"}`,
		`{"id": 9, "price": 4.5}`,
	)
	at := time.Date(2026, 1, 2, 2, 4, 5, 678_000_000, time.UTC).UnixMicro()
	want := []string{
		fmt.Sprintf(`0: 1 2 café "x" %d 1969-12-31 - - -`, at),
		"1: - - - - - - - -",
		"8: 7 - - - - - - -",
		`9: 8 4 - 1700000000123000 - true {"a": [1, null]} 4`,
	}
	wantDead := []string{
		"2: column id: 9223372036854775808 is no int64", "3: column price: 1e999 is no double", "4: the value is no JSON", "5: the value is not UTF-8",
		`6: field "id" is there twice`, "7: the value is nested deeper than 500", "10: column amount: 4.5 is no int64",
	}
	statement := func(args ...string) string {
		view := run(t, append([]string{"archive", "sql", "--metastore", h.metastore, "--bucket", bucketURL}, append(args, "orders")...)...)
		view.want(t, 0, "orders", "")
		return view.stdout
	}
	for name, of := range map[string]struct {
		args []string
		want []string
		dead bool
	}{
		"duckdb":          {[]string{"duckdb", statement(), "select * from orders order by kafka_offset"}, want, false},
		"pyarrow":         {[]string{"pyarrow", filepath.Join(dir, "bucket", "archive", "orders")}, want, false},
		"duckdb, dead":    {[]string{"duckdb", statement("--dlq"), "select * from orders__dlq order by kafka_offset"}, wantDead, true},
		"pyarrow, dead":   {[]string{"pyarrow", filepath.Join(dir, "bucket", "archive", "orders__dlq")}, wantDead, true},
		"duckdb, by type": {[]string{"duckdb", statement(), "select kafka_offset, id, on_day from orders where \"at\" < '2026-02-01' and on_day < date '1970-01-01'"}, []string{"0: 1 - - - 1969-12-31 - - -"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			readArchive(t, func(line []byte) {
				var row orderRow
				if err := json.Unmarshal(line, &row); err != nil {
					t.Fatal(err)
				}
				if of.dead {
					got = append(got, fmt.Sprintf("%d: %s", row.Offset, row.Error))
					return
				}
				got = append(got, fmt.Sprintf("%d: %s %s %s %s %s %s %s %s", row.Offset, textOr(row.ID), textOr(row.Price), textOr(row.Note), textOr(row.At),
					textOr(dayOf(row.Day)), textOr(row.Paid), textOr(row.Tags), textOr(row.Count)))
			}, of.args...)
			if !slices.Equal(got, of.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(of.want, "\n"))
			}
		})
	}
	if text := statement("--engine", "athena"); !strings.Contains(text, "`id` bigint,\n  `price` double,\n  `paid` boolean,\n  `amount` bigint,\n  `tags` string,\n  `at` timestamp\n)") {
		t.Errorf("%s", text)
	}
}

func textOr[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

func dayOf(v any) *string {
	if s, ok := v.(string); ok {
		return &s
	}
	return nil
}
