package segment

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/wire/batch"
)

var update = flag.Bool("update", false, "write the golden files that are missing or differ")

// golden compares got with a file in testdata, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s\nwant:\n%s", name, show(got), show(want))
	}
}

func show(b []byte) string {
	if bytes.HasPrefix(b, []byte(magicHead)) {
		var out strings.Builder
		for chunk := range slices.Chunk(b, 32) {
			for _, c := range chunk {
				out.WriteByte("0123456789abcdef"[c>>4])
				out.WriteByte("0123456789abcdef"[c&15])
			}
			out.WriteByte('\n')
		}
		return out.String()
	}
	return string(b)
}

// goldenSegments is what the golden files hold. Version 1 is written for ever as
// here: a change of these bytes is a new version.
func goldenSegments() map[string][]byte {
	empty, _ := build(Info{Cluster: "c", ID: ID{Term: 1, Number: 1}, Flush: 1}, nil)
	one, _ := build(Info{Cluster: "MkU3OEVBNTcwNTJENDM2Qg", ID: ID{Term: 1, Number: 2}, Flush: 3, Written: 1_795_429_680_123}, []added{{0, topicA, 0, aBatch(1, "hello")}})
	runs := fullRuns()
	runs[4].data = aBatch(12, "five")
	stamped := aBatch(2, "stamped")
	batch.SetLogAppendTime(stamped, 1_795_429_680_000)
	producer := batch.Append(nil, batch.Header{Attributes: 1 << 4, ProducerID: 9000, ProducerEpoch: 3, BaseSequence: 1<<31 - 2}, []batch.Record{
		{Offset: 0, Timestamp: -1, Value: bytes.Repeat([]byte("long "), 20)},
		{Offset: 1, Timestamp: 5, Key: []byte("key"), Headers: []batch.RecordHeader{{Key: []byte("trace"), Value: []byte{0, 1}}, {Key: []byte("none")}}},
		{Offset: 2, Timestamp: 6, Key: []byte{}, Value: []byte{}},
	})
	runs = slices.Insert(runs, 5, added{64, topicA, 1, stamped}, added{64, topicB, 0, producer})
	several, _ := build(full, runs)
	return map[string][]byte{"empty": empty, "one": one, "full": several}
}

func TestGolden(t *testing.T) {
	for name, body := range goldenSegments() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".v1.segment", body)
			stored, err := os.ReadFile(filepath.Join("testdata", name+".v1.segment"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(stored)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(); err != nil {
				t.Error(err)
			}
			var out bytes.Buffer
			if err := Dump(&out, stored, true); err != nil {
				t.Error(err)
			}
			golden(t, name+".v1.dump", out.Bytes())
		})
	}
}

func TestDump_WithoutRecords(t *testing.T) {
	var out bytes.Buffer
	if err := Dump(&out, goldenSegments()["full"], false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hello") || strings.Contains(out.String(), "= ") {
		t.Errorf("records in\n%s", out.String())
	}
}

func TestDump_Damaged(t *testing.T) {
	all := fullRuns()
	all[4].data = aBatch(2, "five")
	body, positions := build(full, all)
	body[positions[2]+70] ^= 1 // in the second run
	body[positions[3]+8] ^= 0x40
	var out bytes.Buffer
	if err := Dump(&out, body, true); err == nil {
		t.Error("no error")
	}
	golden(t, "damaged.v1.dump", out.Bytes())
	out.Reset()
	if err := Dump(&out, body[:len(body)-1], true); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a truncated one: %v", err)
	}
	golden(t, "truncated.v1.dump", out.Bytes())
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestDump_WriterFails(t *testing.T) {
	if err := Dump(fullDisk{}, goldenSegments()["full"], true); err == nil {
		t.Error("no error")
	}
}
