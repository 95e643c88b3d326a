package clients

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		t.Logf("ended in %v", time.Since(began).Round(time.Millisecond))
		if !strings.Contains(p.log.String(), `"msg":"stopped"`) {
			t.Errorf("the agent's last words: %s", tail(p.log.String(), 1000))
		}
		p, _ = startDev(t, dir, address)
	}
	l.finish(streams)
}

// A fetch that waits for records doesn't hold up an agent that is asked to stop: it is
// answered before its time.
func TestSIGTERM_EndsLongPolls(t *testing.T) {
	metrics := freeAddress(t)
	p, address := startDev(t, t.TempDir(), "127.0.0.1:0", "--http", metrics)
	c := dial(t, address)
	c.add(createRequest("t", 1), createTopicsVersion)
	c.send()
	c.answer()
	f := fetchRequest("t", 0, 0)
	f.MaxWaitMillis = int32(10 * patience.Milliseconds())
	c.add(f, fetchVersion)
	c.send()
	eventually(t, "the fetch waits", func() bool { return metric(t, metrics, "wadi_fetch_waits_total") > 0 })
	p.signal(syscall.SIGTERM)
	if code := c.answer().(*kmsg.FetchResponse).ErrorCode; code != 0 {
		t.Errorf("it is answered %d", code)
	}
	if code := p.end(); code != 0 {
		t.Errorf("code %d", code)
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
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) { // it may be closed already
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
