package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"time"
)

//go:embed demo/*.csv.gz
var demoFiles embed.FS // see demo/README.md for what they are and where they come from

// demoRecord is a row of a data set as a record.
type demoRecord struct {
	at    time.Time
	key   string
	value []byte // a JSON object, its fields in the file's order
}

// dataset is one of the demo's files, on its way into a topic.
type dataset struct {
	topic      string
	partitions int32
	what       string // for the screen
	source     string
	records    []demoRecord // by time
}

// datasets reads the demo's files.
func datasets() ([]dataset, error) {
	sets := []dataset{
		{topic: "earthquakes", partitions: 3, what: "a week of earthquakes", source: "USGS"},
		{topic: "bird-strikes", partitions: 4, what: "birds that met aircraft, 1990–2002", source: "U.S. FAA"},
	}
	keys := map[string]string{"earthquakes": "network", "bird-strikes": "airport"}
	for i := range sets {
		records, err := readDataset("demo/"+sets[i].topic+".csv.gz", keys[sets[i].topic])
		if err != nil {
			return nil, fmt.Errorf("the demo's %s: %w", sets[i].topic, err)
		}
		sets[i].records = records
	}
	return sets, nil
}

// readDataset turns rows into records: the first column is the time, the column
// keyColumn the key, the whole row the value.
func readDataset(path, keyColumn string) ([]demoRecord, error) {
	packed, err := demoFiles.ReadFile(path)
	if err != nil {
		return nil, err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		return nil, err
	}
	heading := rows[0]
	var records []demoRecord
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339Nano, row[0])
		if err != nil {
			if at, err = time.Parse(time.DateOnly, row[0]); err != nil {
				return nil, err
			}
		}
		record := demoRecord{at: at}
		value := []byte{'{'}
		for i, field := range row {
			if heading[i] == keyColumn {
				record.key = field
			}
			if i > 0 {
				value = append(value, ',')
			}
			text, err := json.Marshal(field)
			if err != nil {
				return nil, err
			}
			value = append(value, `"`+heading[i]+`":`...)
			value = append(value, text...)
		}
		record.value = append(value, '}')
		records = append(records, record)
	}
	return records, nil
}

// check follows a reader and says whether it gets, key by key, what the file
// holds, in the file's order, once.
type check struct {
	left  map[string][][]byte // by key: the values to come
	count int64
}

func (d dataset) check(since time.Time) *check {
	c := &check{left: map[string][][]byte{}}
	for _, r := range d.records {
		if !r.at.Before(since) {
			c.left[r.key] = append(c.left[r.key], r.value)
			c.count++
		}
	}
	return c
}

// next is the next record that the reader got.
func (c *check) next(key string, value []byte) error {
	left := c.left[key]
	switch {
	case len(left) == 0:
		return fmt.Errorf("key %q: a record came that is not in the file: %s", key, value)
	case !bytes.Equal(left[0], value):
		return fmt.Errorf("key %q: %s came where the file has %s", key, value, left[0])
	}
	c.left[key] = left[1:]
	c.count--
	return nil
}

// missing is how many records have not come yet.
func (c *check) missing() int64 { return c.count }
