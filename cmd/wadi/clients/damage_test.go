package clients

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// damaged is a folder in which a partition's second batch will be damaged: topic
// "t" has batches "p/0", "p/1", … of each partition p. All of a round lie in one segment.
type damaged struct {
	t   *testing.T
	dir string
}

const (
	damagedPartitions = 3
	damagedRounds     = 3
	damagedPartition  = 1
	damagedRound      = 1
)

func marker(partition, round int) string {
	return fmt.Sprintf("<the record of partition %d, round %d>", partition, round)
}

// write fills the folder and ends its agent.
func (d damaged) write() {
	d.t.Helper()
	p, address := startDev(d.t, d.dir, "127.0.0.1:0")
	c := dial(d.t, address)
	c.add(createRequest("t", damagedPartitions), createTopicsVersion)
	c.send()
	c.answer()
	for round := range damagedRounds {
		request := produceRequest("t", 0, -1, nil)
		request.Topics[0].Partitions = nil
		for i := range damagedPartitions {
			request.Topics[0].Partitions = append(request.Topics[0].Partitions,
				kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: rawBatch(marker(i, round))})
		}
		c.add(request, produceVersion)
		c.send()
		c.answer()
	}
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != 0 {
		d.t.Fatalf("code %d", code)
	}
}

// segmentOf returns the path of the segment that holds a record, and the record's place in it.
func segmentOf(t *testing.T, dir, text string) (path string, at int) {
	t.Helper()
	err := filepath.Walk(filepath.Join(dir, "bucket"), func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		body, err := os.ReadFile(name)
		if i := bytes.Index(body, []byte(text)); i >= 0 {
			path, at = name, i
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no segment holds %q (%v)", text, err)
	}
	return path, at
}

// A segment that is damaged, cut or lost fails the fetches that need it, with
// Kafka's code; all others go on, and so does producing to its partitions.
func TestDamagedSegment(t *testing.T) {
	rewrite := func(change func(body []byte, at int) []byte) func(t *testing.T, path string, at int) {
		return func(t *testing.T, path string, at int) {
			body, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, change(body, at), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	corrupt, storage := kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, path string, at int)
		alone  bool // the other partitions of the segment can be read
	}{
		{"a flipped byte of a record", rewrite(func(b []byte, at int) []byte { b[at+5] ^= 0x20; return b }), true},
		{"cut off", rewrite(func(b []byte, _ int) []byte { return b[:10] }), false},
		{"empty", rewrite(func([]byte, int) []byte { return nil }), false},
		{"lost", func(t *testing.T, path string, _ int) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := damaged{t, t.TempDir()}
			d.write()
			path, at := segmentOf(t, d.dir, marker(damagedPartition, damagedRound))
			row.damage(t, path, at)
			p, address := startDev(t, d.dir, "127.0.0.1:0")
			p.mayLogErrors = true
			c := dial(t, address)
			fetch := func(partition int32, offset int64) (code int16, batches string) {
				c.add(fetchRequest("t", offset, partition), fetchVersion)
				c.send()
				p := c.answer().(*kmsg.FetchResponse).Topics[0].Partitions[0]
				return p.ErrorCode, string(p.RecordBatches)
			}
			for i := range damagedPartitions {
				for round := range damagedRounds {
					code, batches := fetch(int32(i), int64(round))
					bad := round == damagedRound && (i == damagedPartition || !row.alone)
					switch {
					case bad && code != corrupt && code != storage:
						t.Errorf("partition %d, offset %d: code %d with %d bytes", i, round, code, len(batches))
					case !bad && (code != 0 || !strings.Contains(batches, marker(i, round))):
						t.Errorf("partition %d, offset %d, which is whole: code %d with %d bytes", i, round, code, len(batches))
					}
				}
			}
			// One request for all: the damaged partition fails alone.
			c.add(fetchRequest("t", damagedRound, 0, 1, 2), fetchVersion)
			c.send()
			for _, p := range c.answer().(*kmsg.FetchResponse).Topics[0].Partitions {
				if bad := p.Partition == damagedPartition || !row.alone; bad != (p.ErrorCode == corrupt || p.ErrorCode == storage) {
					t.Errorf("all at once: partition %d: code %d", p.Partition, p.ErrorCode)
				}
			}
			c.add(produceRequest("t", damagedPartition, -1, rawBatch("after")), produceVersion)
			c.send()
			if p := produced(c.answer()); p.ErrorCode != 0 || p.BaseOffset != damagedRounds {
				t.Errorf("produce: code %d, offset %d", p.ErrorCode, p.BaseOffset)
			}
			if code, batches := fetch(damagedPartition, damagedRounds); code != 0 || !strings.Contains(batches, "after") {
				t.Errorf("the record behind: code %d", code)
			}
		})
	}
}

// A damaged byte anywhere in a batch's header is found, or is one that every
// fetch writes anew (base offset, leader epoch).
func TestDamagedHeader(t *testing.T) {
	const headerBytes, recordBytes = 61, 6 // the record's own head, before its value
	dir := t.TempDir()
	p, address := startDev(t, dir, "127.0.0.1:0")
	c := dial(t, address)
	c.add(createRequest("t", 1), createTopicsVersion)
	for i := range headerBytes {
		c.add(produceRequest("t", 0, -1, rawBatch(marker(0, 100+i))), produceVersion) // as long as the batch before it
	}
	c.send()
	for len(c.sent) > 0 {
		c.answer()
	}
	fetch := func(offset int) (int16, []byte) {
		c.add(fetchRequest("t", int64(offset), 0), fetchVersion)
		c.send()
		p := c.answer().(*kmsg.FetchResponse).Topics[0].Partitions[0]
		return p.ErrorCode, p.RecordBatches
	}
	size := len(rawBatch(marker(0, 100)))
	whole := make([][]byte, headerBytes)
	for i := range whole {
		_, batches := fetch(i)
		whole[i] = batches[:size]
	}
	p.signal(syscall.SIGTERM)
	p.end()
	for i := range headerBytes {
		path, at := segmentOf(t, dir, marker(0, 100+i))
		body, err := os.ReadFile(path)
		if err == nil {
			body[at-recordBytes-headerBytes+i] ^= 1
			err = os.WriteFile(path, body, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p, address = startDev(t, dir, "127.0.0.1:0")
	p.mayLogErrors = true
	c = dial(t, address)
	for i := range headerBytes {
		switch code, batches := fetch(i); {
		case code == kerr.CorruptMessage.Code || code == kerr.KafkaStorageError.Code:
		case code != 0 || len(batches) < size || !bytes.Equal(batches[:size], whole[i]):
			t.Errorf("byte %d of the header: code %d, and not the batch that was written", i, code)
		}
	}
}
