package clients

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// drainMax is how long an agent under load may take to end, generously: it lets
// requests in flight finish for at most 10 s.
const drainMax = 20 * time.Second

// An agent that is asked to stop under load answers what it has begun, ends with
// code 0, and the next goes on where it was.
func TestSIGTERM_DrainsUnderLoad(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	p, _ := startDev(t, dir, address)
	l := newLoad(t, address, "kept", 4)
	franz{}.create(t, address, l.topic, int(l.partitions), nil)
	l.writeFranz(0)
	l.writeLibrdkafka(1)
	streams := map[string]*follower{"franz-go": l.readFranz(), "librdkafka": l.readLibrdkafka()}
	for range 5 {
		before := l.ledger.acknowledged()
		eventually(t, "a thousand records more", func() bool { l.check(); return l.ledger.acknowledged() > before+1000 })
		began := time.Now()
		p.signal(syscall.SIGTERM)
		if code := p.end(); code != 0 {
			t.Fatalf("code %d after SIGTERM", code)
		}
		if took := time.Since(began); took > drainMax {
			t.Errorf("the agent took %v to end", took)
		} else {
			t.Logf("ended in %v", took.Round(time.Millisecond))
		}
		if !strings.Contains(p.log.String(), `"msg":"stopped"`) {
			t.Errorf("the agent's last words: %s", tail(p.log.String(), 1000))
		}
		p, _ = startDev(t, dir, address)
	}
	l.finish(streams)
}

// A fetch that waits for records doesn't hold up an agent that is asked to stop.
func TestSIGTERM_EndsLongPolls(t *testing.T) {
	p, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	c := dial(t, address)
	c.add(createRequest("t", 1), createTopicsVersion)
	c.send()
	c.answer()
	f := fetchRequest("t", 0, 0)
	f.MaxWaitMillis = int32(patience.Milliseconds())
	c.add(f, fetchVersion)
	c.send()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != 0 || time.Since(began) > drainMax {
		t.Errorf("code %d after %v", code, time.Since(began))
	}
}

// What can't start says why in one sentence and ends with 1, and leaves what
// runs alone.
func TestDev_Refused(t *testing.T) {
	used, newer := t.TempDir(), t.TempDir()
	_, address := startDev(t, used, "127.0.0.1:0")
	if err := os.WriteFile(filepath.Join(newer, "wadi.json"), []byte(`{"format":999}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, dir, kafka, says string }{
		{"a second process", used, "127.0.0.1:0", "another wadi process uses the folder " + used},
		{"a busy port", t.TempDir(), address, "another process listens there"},
		{"a newer version's folder", newer, "127.0.0.1:0", "was written by a newer version of wadi"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := start(t, "dev", "--dir", row.dir, "--kafka", row.kafka, "--http", "")
			code := p.end()
			lines := slices.DeleteFunc(strings.Split(p.log.String(), "\n"), func(line string) bool { return !strings.HasPrefix(line, "wadi: ") })
			if code != 1 || len(lines) != 1 || !strings.Contains(lines[0], row.says) {
				t.Errorf("code %d: %s", code, p.log)
			}
		})
	}
	franz{}.produce(t, address, "t", "none", oddRecords())
	if got := (franz{}).read(t, address, "t", anyTime); len(got) != len(oddRecords()) {
		t.Errorf("%d records of the agent that was there", len(got))
	}
}

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

// segment returns the path of the segment that holds a record, and the record's place in it.
func (d damaged) segment(text string) (path string, at int) {
	d.t.Helper()
	err := filepath.Walk(filepath.Join(d.dir, "bucket"), func(name string, info os.FileInfo, err error) error {
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
		d.t.Fatalf("no segment holds %q (%v)", text, err)
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
		{"a flipped bit of a batch header", rewrite(func(b []byte, at int) []byte { b[at-60] ^= 1; return b }), true},
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
			path, at := d.segment(marker(damagedPartition, damagedRound))
			row.damage(t, path, at)
			_, address := startDev(t, d.dir, "127.0.0.1:0")
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

// A client that vanishes in the middle of a request, or sends what is none,
// disturbs nobody.
func TestNonsense(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	whole := kmsg.NewRequestFormatter().AppendRequest(nil, produceRequest("t", 0, -1, rawBatch("half")), 1)
	for _, row := range []struct {
		name string
		sent []byte
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"a negative length", []byte{255, 255, 255, 255, 0, 0}},
		{"a length of 2 GiB", []byte{127, 255, 255, 255, 0, 0}},
		{"an unknown request", []byte{0, 0, 0, 8, 9, 9, 0, 0, 0, 0, 0, 1}},
		{"half a request", whole[:len(whole)/2]},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			if _, err := conn.Write(row.sent); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n > 0 {
				t.Errorf("an answer came (%v)", err)
			} else if os.IsTimeout(err) {
				t.Error("the connection stays open")
			}
		})
	}
	franz{}.produce(t, address, "t", "none", oddRecords())
	if got := (franz{}).read(t, address, "t", anyTime); len(got) != len(oddRecords()) {
		t.Errorf("%d records", len(got))
	}
}
