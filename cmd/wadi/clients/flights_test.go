package clients

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"
)

// flights are the published file, row by row.
type flights struct {
	file []byte   // as published
	rows []record // the rows in the file's order: keyed by origin, at departure
}

const (
	flightsRows = 20_000
	flightsHash = "20c920b46db4f664bed3e1420b8348527cd7c41e" // as the publisher's catalogue names it

	rowHeader = "row" // a record's place in the file
)

// loadFlights reads the published file and cuts it into records.
func loadFlights(t *testing.T) flights {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", "flights-20k.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	f := flights{}
	if f.file, err = io.ReadAll(unpacked); err != nil {
		t.Fatal(err)
	}
	if got := blobHash(f.file); got != flightsHash {
		t.Fatalf("the file's hash is %s; published is %s", got, flightsHash)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(f.file, &rows); err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		var flight struct{ Date, Origin string }
		if err := json.Unmarshal(row, &flight); err != nil {
			t.Fatal(err)
		}
		departure, err := time.Parse("2006/01/02 15:04", flight.Date)
		if err != nil {
			t.Fatal(err)
		}
		f.rows = append(f.rows, record{
			at: departure.UnixMilli(), key: []byte(flight.Origin), value: row,
			headers: []header{{rowHeader, []byte(strconv.Itoa(i))}},
		})
	}
	if len(f.rows) != flightsRows || !bytes.Equal(rebuild(f.rows), f.file) {
		t.Fatalf("%d rows, which don't make the file again", len(f.rows))
	}
	return f
}

// blobHash is git's hash of a file, which is what the catalogue has.
func blobHash(file []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(file)), file...)))
}

// rebuild makes the file of its rows.
func rebuild(rows []record) []byte {
	values := make([][]byte, len(rows))
	for i, r := range rows {
		values[i] = r.value
	}
	return slices.Concat([]byte("["), bytes.Join(values, []byte(",")), []byte("]"))
}

func rowOf(t *testing.T, r record) int {
	t.Helper()
	if len(r.headers) != 1 || r.headers[0].key != rowHeader {
		t.Fatalf("partition %d, offset %d: headers %q", r.partition, r.offset, r.headers)
	}
	row, err := strconv.Atoi(string(r.headers[0].value))
	if err != nil || row < 0 || row >= flightsRows {
		t.Fatalf("partition %d, offset %d: row %q", r.partition, r.offset, r.headers[0].value)
	}
	return row
}

// check compares records that were read with the file's rows from one on: all of
// them and nothing else, a key's in order and in one partition, and put together
// again the file itself.
func (f flights) check(t *testing.T, records []record, first int) {
	t.Helper()
	checkOffsets(t, records, first == 0)
	if want := flightsRows - first; len(records) != want {
		t.Fatalf("%d records, want %d", len(records), want)
	}
	rows := slices.Clone(f.rows[:first])
	rows = append(rows, make([]record, flightsRows-first)...)
	last, home := map[string]int{}, map[string]int32{}
	for _, r := range records {
		row, key := rowOf(t, r), string(r.key)
		if row < first || rows[row].value != nil {
			t.Fatalf("row %d was read twice, or is before row %d", row, first)
		}
		if before, seen := last[key]; seen && (row < before || r.partition != home[key]) {
			t.Fatalf("key %s: row %d in partition %d after row %d in partition %d", key, row, r.partition, before, home[key])
		}
		if want := f.rows[row]; string(want.key) != key || want.at != r.at {
			t.Fatalf("row %d has key %s at %d, want %s at %d", row, key, r.at, want.key, want.at)
		}
		rows[row], last[key], home[key] = r, row, r.partition
	}
	if got := blobHash(rebuild(rows)); got != flightsHash {
		t.Fatalf("the records make a file of hash %s, published is %s", got, flightsHash)
	}
}

// since is the first row at or after a time; the file is in order of time.
func (f flights) since(at int64) int {
	return sort.Search(len(f.rows), func(i int) bool { return f.rows[i].at >= at })
}

const flightsPartitions = 5

// The main job: a published data set goes in by each client under every codec,
// and comes back whole by each client, from the beginning and from a time, before
// and after the agent was killed.
func TestFlights(t *testing.T) {
	f, dir, address := loadFlights(t), t.TempDir(), freeAddress(t)
	p, _ := startDev(t, dir, address)
	topics := map[string]string{} // the codec of each
	for _, c := range mainClients() {
		for _, codec := range codecs() {
			topic := "flights-" + c.name + "-" + codec
			topics[topic] = codec
			c.create(t, address, topic, flightsPartitions, nil)
			began := time.Now()
			c.produce(t, address, topic, codec, f.rows)
			t.Logf("%s: %d records in %v", topic, flightsRows, time.Since(began).Round(time.Millisecond))
		}
	}
	from := time.Date(2001, 2, 14, 12, 0, 0, 0, time.UTC)
	first := f.since(from.UnixMilli())
	if first == 0 || first == flightsRows || f.rows[first-1].at >= from.UnixMilli() {
		t.Fatalf("row %d is not the first since %v", first, from)
	}
	readAll := func(t *testing.T) {
		for _, reader := range mainClients() {
			for topic, codec := range topics {
				t.Run(reader.name+" reads "+topic, func(t *testing.T) {
					t.Parallel()
					records := reader.read(t, address, topic, anyTime)
					f.check(t, records, 0)
					for _, r := range records {
						if r.codec != "" && r.codec != codec {
							t.Fatalf("offset %d came as %s", r.offset, r.codec)
						}
					}
					f.check(t, reader.read(t, address, topic, from.UnixMilli()), first)
					if late := reader.read(t, address, topic, from.AddDate(1, 0, 0).UnixMilli()); len(late) != 0 {
						t.Errorf("%d records of the year after", len(late))
					}
				})
			}
		}
	}
	t.Run("as written", readAll)
	p.kill()
	began := time.Now()
	startDev(t, dir, address)
	t.Logf("ready %v after kill -9", time.Since(began).Round(time.Millisecond))
	t.Run("after kill -9", readAll)
}
