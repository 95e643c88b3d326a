package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The counts, keys and times that demo/README.md tells of.
func TestDatasets_AreWhatTheirReadmeSays(t *testing.T) {
	sets, err := datasets()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		records, keys int
		first, last   string
	}{
		"earthquakes":  {1707, 12, "2018-01-31T01:49:59.65Z", "2018-02-07T01:26:13.84Z"},
		"bird-strikes": {10000, 50, "1990-01-08T00:00:00Z", "2002-07-25T00:00:00Z"},
	}
	for _, set := range sets {
		w := want[set.topic]
		keys := map[string]bool{}
		for i, r := range set.records {
			keys[r.key] = true
			if r.key == "" || !json.Valid(r.value) {
				t.Fatalf("%s, record %d: key %q, value %s", set.topic, i, r.key, r.value)
			}
			if i > 0 && r.at.Before(set.records[i-1].at) {
				t.Fatalf("%s, record %d is earlier than the one before", set.topic, i)
			}
		}
		first, last := set.records[0].at.Format(time.RFC3339Nano), set.records[len(set.records)-1].at.Format(time.RFC3339Nano)
		if len(set.records) != w.records || len(keys) != w.keys || first != w.first || last != w.last {
			t.Errorf("%s: %d records, %d keys, %s to %s; want %v", set.topic, len(set.records), len(keys), first, last, w)
		}
	}
}

// The demo's comparison must see what it is there to see.
func TestCheck_SeesWhatIsWrong(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2018, 2, day, 0, 0, 0, 0, time.UTC) }
	set := dataset{records: []demoRecord{
		{at(1), "a", []byte("1")}, {at(2), "b", []byte("2")}, {at(3), "a", []byte("3")}, {at(4), "a", []byte("3")},
	}}
	for _, row := range []struct {
		name, reads, says string
		missing           int64
	}{
		{"as it is", "a1 b2 a3 a3", "", 0},
		{"other partitions first", "b2 a1 a3 a3", "", 0},
		{"lost", "a1 b2 a3", "", 1},
		{"swapped", "a3 a1", "where the file has 1", 4},
		{"twice", "a1 a3 a3 a3", "that is not in the file", 1},
		{"changed", "a1 b3", "where the file has 2", 3},
		{"unknown key", "c1", "that is not in the file", 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := set.check(time.Time{})
			var err error
			for _, r := range strings.Fields(row.reads) {
				if err = c.next(r[:1], []byte(r[1:])); err != nil {
					break
				}
			}
			if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) || c.missing() != row.missing {
				t.Errorf("%v, %d missing", err, c.missing())
			}
		})
	}
	if c := set.check(at(3)); c.missing() != 2 {
		t.Errorf("%d since the third", c.missing())
	}
}

func TestDemoState_PictureFitsTheScreen(t *testing.T) {
	sets, err := datasets()
	if err != nil {
		t.Fatal(err)
	}
	s := newDemoState(sets)
	s.acknowledge("bird-strikes", 3, 123456, 1234567*time.Nanosecond)
	s.reads("bird-strikes", 3, 123456, []byte(strings.Repeat("é", 200)))
	s.bucket(12, 3456789, "segments/0000000001/000000000012")
	for _, line := range s.picture(sets) {
		if n := len([]rune(line)); n > screenColumns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if got := s.line(); !strings.Contains(got, "1 of 11,707 records in, 1 read, 12 segments in the bucket (3.3 MiB)") {
		t.Error(got)
	}
}

func TestCommandName(t *testing.T) {
	for arg0, want := range map[string]string{
		"/tmp/go-build123/b001/exe/wadi": "go run ./cmd/wadi", "./wadi": "./wadi", "wadi": "wadi",
	} {
		if got := commandName(arg0); got != want {
			t.Errorf("%s: %s", arg0, got)
		}
	}
}
