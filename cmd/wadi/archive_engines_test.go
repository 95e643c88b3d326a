//go:build archive

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// analystVariable names the folder that `make test-archive` fetches DuckDB and pyarrow into.
const analystVariable = "WADI_TEST_ANALYST"

// archivedRow is a row of the archive as read.py prints it.
type archivedRow struct {
	Topic     string  `json:"kafka_topic"`
	Partition int32   `json:"kafka_partition"`
	Offset    int64   `json:"kafka_offset"`
	Timestamp *int64  `json:"kafka_timestamp"` // µs
	Kind      string  `json:"kafka_timestamp_type"`
	Key       *string `json:"kafka_key"`
	Headers   []struct {
		Key   string
		Value *string
	} `json:"kafka_headers"`
	Value   *string `json:"kafka_value"`
	Invalid *string `json:"kafka_value_invalid"`
	Date    any     `json:"date"`
}

// readArchive runs read.py and calls f with each line.
func readArchive(t *testing.T, f func(line []byte), args ...string) {
	t.Helper()
	folder := os.Getenv(analystVariable)
	if folder == "" {
		t.Fatalf("%s is not set: run make test-archive", analystVariable)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "bin", "python"), append([]string{filepath.Join("analyst", "read.py")}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		f(lines.Bytes())
	}
}

// quakesByNetwork is the query of the README's first minute.
const quakesByNetwork = `select kafka_key::varchar as network, count(*) as quakes, max((kafka_value->>'magnitude')::double) as strongest
from earthquakes group by network order by quakes desc, network`

// TestArchive_Engines: what DuckDB and pyarrow read of an archive of real records is what a consumer reads:
// each record once, offsets without a gap, the same keys, values, headers and times.
func TestArchive_Engines(t *testing.T) {
	sets, err := datasets()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, address := startDev(t, dir, "127.0.0.1:0", "--compaction-every", "500ms", "--config", "log.retention.check.interval.ms=200")
	h := &oldSegments{t: t, read: address}
	var bucketURL string
	if bucketURL, h.metastore, err = folderURLs(dir); err != nil {
		t.Fatal(err)
	}
	c := h.client(address)
	h.admin = kadm.NewClient(c)
	one, parquet := "1000", "parquet"
	for _, set := range sets {
		value := map[string]string{"earthquakes": "json", "bird-strikes": "binary"}[set.topic]
		r, err := h.admin.CreateTopic(t.Context(), set.partitions, 1, map[string]*string{"wadi.archive": &parquet, "wadi.archive.interval.ms": &one, "wadi.archive.value": &value}, set.topic)
		if err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
		for i, r := range set.records {
			record := &kgo.Record{Topic: set.topic, Key: []byte(r.key), Value: r.value, Timestamp: r.at}
			if i%3 == 0 {
				record.Headers = []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}, {Key: "null"}}
			}
			if i%100 == 7 {
				record.Key = nil
			}
			c.Produce(t.Context(), record, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		consumed := map[string]*kgo.Record{}
		consumer := h.client(address, kgo.ConsumeTopics(set.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for len(consumed) < len(set.records) {
			fetches := consumer.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) { consumed[fmt.Sprint(r.Partition, "/", r.Offset)] = r })
		}
		h.await("the archive of "+set.topic, func() string {
			rows := int64(0)
			for line := range strings.Lines(run(t, "archive", "list", "--metastore", h.metastore, "--output", "json", set.topic).stdout) {
				var f archiveLine
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					t.Fatal(err)
				}
				rows += f.Rows
			}
			if rows < int64(len(set.records)) {
				return fmt.Sprintf("%d records of %d", rows, len(set.records))
			}
			return ""
		})
		view := run(t, "archive", "sql", "--metastore", h.metastore, "--bucket", bucketURL, "--engine", "duckdb", set.topic)
		view.want(t, 0, "read_parquet", "")
		table := strings.ReplaceAll(set.topic, "-", "_")
		for engine, args := range map[string][]string{
			"duckdb":  {"duckdb", view.stdout, "select * from " + table + " order by kafka_partition, kafka_offset"},
			"pyarrow": {"pyarrow", filepath.Join(dir, "bucket", "archive", set.topic)},
		} {
			t.Run(set.topic+" by "+engine, func(t *testing.T) {
				next := map[int32]int64{}
				rows := 0
				readArchive(t, func(line []byte) {
					var row archivedRow
					if err := json.Unmarshal(line, &row); err != nil {
						t.Fatal(err)
					}
					if row.Offset != next[row.Partition] {
						t.Fatalf("partition %d: offset %d after %d", row.Partition, row.Offset, next[row.Partition]-1)
					}
					next[row.Partition]++
					rows++
					sameRow(t, &row, consumed[fmt.Sprint(row.Partition, "/", row.Offset)], set.topic, value == "json")
				}, args...)
				if rows != len(set.records) {
					t.Errorf("%d rows of %d records", rows, len(set.records))
				}
			})
		}
		if set.topic == "earthquakes" {
			groupBy(t, view.stdout, consumed)
		}
	}
}

// sameRow compares a row with the record that a consumer got.
func sameRow(t *testing.T, row *archivedRow, r *kgo.Record, topic string, text bool) {
	t.Helper()
	bytesOf := func(s *string, text bool) []byte {
		if s == nil {
			return nil
		}
		if text {
			return []byte(*s)
		}
		b, err := hex.DecodeString(*s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	// Those of a batch whose records lie in more than 64 hours are in one object (PARQUET.md).
	day, scattered := r.Timestamp.UTC().Format("2006-01-02"), fmt.Sprint(row.Date) == "1970-01-01"
	switch {
	case row.Topic != topic, row.Kind != "CreateTime", row.Timestamp == nil || *row.Timestamp != r.Timestamp.UnixMicro(),
		!same(bytesOf(row.Key, false), r.Key), !same(bytesOf(row.Value, text), r.Value), row.Invalid != nil,
		len(row.Headers) != len(r.Headers), fmt.Sprint(row.Date) != day && !scattered:
		t.Fatalf("row %+v of record %+v", row, r)
	}
	for i, h := range r.Headers {
		if row.Headers[i].Key != h.Key || !same(bytesOf(row.Headers[i].Value, false), h.Value) {
			t.Fatalf("header %d of offset %d: %+v of %+v", i, r.Offset, row.Headers[i], h)
		}
	}
}

// groupBy asks what the README asks, and compares the answer with the records.
func groupBy(t *testing.T, view string, consumed map[string]*kgo.Record) {
	t.Helper()
	quakes, strongest := map[string]int{}, map[string]float64{}
	for _, r := range consumed {
		var fields struct {
			Magnitude string `json:"magnitude"`
		}
		if err := json.Unmarshal(r.Value, &fields); err != nil {
			t.Fatal(err)
		}
		var magnitude float64
		fmt.Sscan(fields.Magnitude, &magnitude)
		quakes[string(r.Key)]++
		strongest[string(r.Key)] = max(strongest[string(r.Key)], magnitude)
	}
	readArchive(t, func(line []byte) {
		var got struct {
			Network   *string
			Quakes    int
			Strongest *float64
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		network := ""
		if got.Network != nil {
			network = *got.Network
		}
		if got.Quakes != quakes[network] || got.Strongest == nil || *got.Strongest != strongest[network] {
			t.Errorf("%q: %d quakes, %v; want %d, %v", network, got.Quakes, got.Strongest, quakes[network], strongest[network])
		}
		delete(quakes, network)
	}, "duckdb", view, quakesByNetwork)
	if len(quakes) > 0 {
		t.Errorf("without a row: %v", quakes)
	}
}
