package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// on runs a client command against an agent; it must succeed.
func on(t *testing.T, kafka, stdin string, args ...string) string {
	t.Helper()
	i := invocation{stdin: stdin, variables: map[string]string{"WADI_KAFKA": kafka}}
	r := i.run(t.Context(), args...)
	if r.code != exitDone || r.stderr != "" {
		t.Fatalf("wadi %v: code %d: %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// keyed are lines key:value, n values for each of the keys, in turns.
func keyed(keys, n int) string {
	var lines strings.Builder
	for value := range n {
		for key := range keys {
			fmt.Fprintf(&lines, "k%d:%d\n", key, value)
		}
	}
	return lines.String()
}

// consumed is a topic's records as consume -o json prints them.
func consumed(t *testing.T, kafka, topic string, args ...string) []recordJSON {
	t.Helper()
	out := on(t, kafka, "", append([]string{"consume", topic, "-o", "json", "--until-end"}, args...)...)
	var records []recordJSON
	for _, text := range strings.Split(strings.TrimSpace(out), "\n") {
		if text == "" {
			continue
		}
		var r recordJSON
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// wantKeyed checks that records are what keyed made: every value once, in order
// per key, a key in one partition only, offsets without gaps.
func wantKeyed(t *testing.T, records []recordJSON, keys, n int) {
	t.Helper()
	next, home, offsets := map[string]int{}, map[string]int32{}, map[int32]int64{}
	for _, r := range records {
		key := string(r.Key)
		if want := fmt.Sprintf("%q", fmt.Sprint(next[key])); string(r.Value) != want {
			t.Fatalf("key %s: value %s, want %s", key, r.Value, want)
		}
		if p, seen := home[key]; seen && p != *r.Partition {
			t.Fatalf("key %s is in partitions %d and %d", key, p, *r.Partition)
		}
		if *r.Offset != offsets[*r.Partition] {
			t.Fatalf("partition %d: offset %d, want %d", *r.Partition, *r.Offset, offsets[*r.Partition])
		}
		next[key]++
		home[key] = *r.Partition
		offsets[*r.Partition]++
	}
	if len(records) != keys*n || len(next) != keys {
		t.Fatalf("%d records of %d keys, want %d of %d", len(records), len(next), keys*n, keys)
	}
}

func TestDev_TopicsProduceConsumeSegments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, kafka := startDev(t, dir, "127.0.0.1:0", "--config", "num.partitions=5")

	if out := on(t, kafka, "", "topics", "create", "orders", "--partitions", "3", "--topic-config", "retention.ms=-1"); out != "created orders with 3 partitions\n" {
		t.Error(out)
	}
	on(t, kafka, keyed(7, 300), "produce", "orders", "-k", ":")
	wantKeyed(t, consumed(t, kafka, "orders"), 7, 300)

	on(t, kafka, "a\n", "produce", "auto") // made by its first record
	out := on(t, kafka, "", "topics", "list")
	if strings.Join(strings.Fields(out), " ") != "TOPIC PARTITIONS RECORDS auto 5 1 orders 3 2,100" {
		t.Error(out)
	}
	out = on(t, kafka, "", "topics", "describe", "orders")
	if !strings.Contains(out, "config  retention.ms=-1\n") || !strings.Contains(out, "PARTITION  LEADER  START  END\n0 ") {
		t.Error(out)
	}

	// From here, from there, so many.
	if got := on(t, kafka, "", "consume", "auto", "-n", "1", "--format", "%t %v\n"); got != "auto a\n" {
		t.Error(got)
	}
	if got := consumed(t, kafka, "orders", "--from", "-2"); len(got) != 6 {
		t.Errorf("%d records, want the last 2 of each of 3 partitions", len(got))
	}
	if got := consumed(t, kafka, "orders", "--from", "latest"); len(got) != 0 {
		t.Errorf("%d records from the end", len(got))
	}
	on(t, kafka, `{"value":"old","partition":1,"timestamp":"2018-02-06T00:00:00Z"}
{"key":"/w==","keyEncoding":"base64","value":"new","partition":1,"timestamp":"2018-02-07T00:00:00Z","headers":[{"key":"h","value":"x"}]}
`, "produce", "times", "-i", "json")
	want := `{"topic":"times","partition":1,"offset":1,"timestamp":"2018-02-07T00:00:00Z","key":"/w==","keyEncoding":"base64","value":"new","headers":[{"key":"h","value":"x"}]}` + "\n"
	if got := on(t, kafka, "", "consume", "times", "--from", "2018-02-06T00:00:01Z", "--until-end", "-o", "json"); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	// What is refused.
	i := invocation{stdin: "x\n", variables: map[string]string{"WADI_KAFKA": kafka}}
	i.run(t.Context(), "topics", "create", "orders").want(t, exitFailure, "", "TOPIC_ALREADY_EXISTS")
	i.run(t.Context(), "topics", "create", "no/name").want(t, exitFailure, "", "INVALID_TOPIC_EXCEPTION")
	i.run(t.Context(), "consume", "nothing").want(t, exitFailure, "", `consume "nothing": there is no such topic or partition (UNKNOWN_TOPIC_OR_PARTITION).`)
	i.run(t.Context(), "consume", "orders", "-p", "9").want(t, exitFailure, "", "there is no partition 9: the topic has 3 partitions.")
	i.run(t.Context(), "consume", "auto", "-p", "0", "--from", "99").want(t, exitFailure, "", "partition 0 has no offset 99: it has 0 up to ")
	i.run(t.Context(), "produce", "orders", "-p", "9").want(t, exitFailure, "", "0 records acknowledged")
	i.run(t.Context(), "produce", "orders", "-k", ":").want(t, exitFailure, "", `line 1: there is no key separator ":" in it.`)

	checkSegments(t, dir)
	if out := on(t, kafka, "", "topics", "delete", "orders", "auto"); out != "deleted orders\ndeleted auto\n" {
		t.Error(out)
	}
	i.run(t.Context(), "topics", "describe", "orders").want(t, exitFailure, "", "UNKNOWN_TOPIC_OR_PARTITION")
}

// checkSegments looks into the bucket of a running agent.
func checkSegments(t *testing.T, dir string) {
	t.Helper()
	r := run(t, "segments", "list", "--dir", dir, "-o", "json")
	r.want(t, exitDone, `"term":1,"number":1,`, "")
	run(t, "segments", "list", "--dir", dir).want(t, exitDone, "segments/0000000001/000000000001  ", "")
	run(t, "segments", "show", "1/1", "--dir", dir, "--records").want(t, exitDone, "k0", "")
	run(t, "segments", "show", "99/1", "--dir", dir).want(t, exitFailure, "", "wadi: there is no segment segments/0000000099/000000000001 in the bucket.\n")
	run(t, "segments", "list", "--dir", dir+"-other").want(t, exitFailure, "", "wadi: there is no bucket at "+dir+"-other/bucket: say where one is with --dir or --bucket.\n")
	if _, err := os.Stat(dir + "-other"); err == nil {
		t.Error("looking made a folder")
	}

	// A byte of the newest segment's records changes: said, not shown.
	var last segmentLine
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "bucket", filepath.FromSlash(last.Key))
	body, err := os.ReadFile(filepath.Join(dir, "bucket", filepath.FromSlash(last.Key)))
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/3] ^= 1
	if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, body, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "segments", "show", last.Key, "--dir", filepath.Join(filepath.Dir(copied), "..", "..", "..")).want(t, exitFailure, "", "wadi: show the segment ")
}

func TestDev_KilledLosesNothing(t *testing.T) {
	dir := t.TempDir()
	p, kafka := startDev(t, dir, "127.0.0.1:0")
	on(t, kafka, keyed(5, 100), "produce", "orders", "-k", ":")
	p.signal(syscall.SIGKILL)
	p.end()
	// The address is free again: the agent's clients come back to it.
	_, kafka = startDev(t, dir, kafka)
	wantKeyed(t, consumed(t, kafka, "orders"), 5, 100)
}

func TestDev_SIGTERMDrains(t *testing.T) {
	dir := t.TempDir()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p, kafka := startDev(t, dir, "127.0.0.1:0")
		topic := "until-" + strings.ToLower(signal.String())
		topic = strings.ReplaceAll(topic, " ", "-")
		on(t, kafka, keyed(3, 50), "produce", topic, "-k", ":")
		p.signal(signal)
		if code := p.end(); code != exitDone || !strings.Contains(p.stderr.String(), `"msg":"stopped"`) {
			t.Errorf("%v: code %d: %s", signal, code, p.stderr)
		}
		p, kafka = startDev(t, dir, "127.0.0.1:0")
		wantKeyed(t, consumed(t, kafka, topic), 3, 50)
		p.signal(syscall.SIGTERM)
		p.end()
	}
}

// The log's "ready" names the port that was bound, not the 0 that was asked for.
func TestDev_TellsWhereHTTPIs(t *testing.T) {
	p, _ := startDev(t, t.TempDir(), "127.0.0.1:0", "--http", "127.0.0.1:0")
	var line struct{ Msg, HTTP string }
	for _, text := range strings.Split(p.stderr.String(), "\n") {
		if json.Unmarshal([]byte(text), &line) == nil && line.Msg == "ready" {
			break
		}
	}
	answer, err := http.Get("http://" + line.HTTP + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s is answered %s", line.HTTP, answer.Status)
	}
}

// An agent that can't start says why in one sentence and ends with 1.
func TestDev_CannotStart(t *testing.T) {
	used := t.TempDir()
	startDev(t, used, "127.0.0.1:0")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := filepath.Join(t.TempDir(), "file")
	newer := t.TempDir()
	for path, text := range map[string]string{file: "", filepath.Join(newer, "wadi.json"): `{"format":999}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ name, dir, kafka, says string }{
		{"a second process", used, "127.0.0.1:0", "another wadi process uses the folder " + used},
		{"a busy port", t.TempDir(), listener.Addr().String(), listener.Addr().String() + ": another process listens there; stop it, or choose another address."},
		{"not a folder", filepath.Join(file, "data"), "127.0.0.1:0", "not a directory"},
		{"a newer version's folder", newer, "127.0.0.1:0", "was written by a newer version of wadi"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := start(t, "dev", "--dir", row.dir, "--kafka", row.kafka, "--http", "")
			code, last := p.end(), ""
			for _, line := range strings.Split(p.stderr.String(), "\n") {
				if strings.HasPrefix(line, "wadi: ") {
					last += line
				}
			}
			if code != exitFailure || !strings.Contains(last, row.says) {
				t.Errorf("code %d: %s", code, p.stderr)
			}
		})
	}
}

func TestConsume_FollowsUntilInterrupted(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	on(t, kafka, "one\n", "produce", "t", "-p", "0")
	p := start(t, "consume", "t", "--kafka", kafka, "-n", "2", "--format", "%v\n")
	on(t, kafka, "two\n", "produce", "t", "-p", "0")
	if code := p.end(); code != exitDone {
		t.Errorf("code %d after 2 records: %s", code, p.stderr)
	}
	p = start(t, "consume", "t", "--kafka", kafka)
	p.signal(syscall.SIGINT)
	if code := p.end(); code != exitDone && code != -1 { // -1: before it listened for signals
		t.Errorf("code %d after an interrupt: %s", code, p.stderr)
	}
}

// Someone types records: each is sent as it comes, and an interrupt ends it
// although the terminal gives no end of the input.
func TestProduce_InterruptedAtTheKeyboard(t *testing.T) {
	_, kafka := startDev(t, t.TempDir(), "127.0.0.1:0")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	p := startOn(t, read, "produce", "t", "--kafka", kafka)
	if _, err := write.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		i := invocation{variables: map[string]string{"WADI_KAFKA": kafka}}
		if r := i.run(t.Context(), "consume", "t", "--until-end"); r.stdout == "typed\n" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the record does not come: %+v", r)
		}
	}
	p.signal(syscall.SIGINT)
	if code := p.end(); code != exitFailure || p.stderr.String() != `wadi: produce to "t" (1 record acknowledged): stopped before the end of the input.`+"\n" {
		t.Errorf("code %d: %s", code, p.stderr)
	}
}

func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, row := range []struct {
		name     string
		terminal bool
		says     string
	}{
		{"plain", false, "11,707 of 11,707 records in, 11,707 read"},
		{"terminal", true, "\x1b["},
	} {
		t.Run(row.name, func(t *testing.T) {
			began := time.Now()
			r := invocation{terminal: row.terminal}.run(t.Context(), "demo", "--stream-for", "1s")
			r.want(t, exitDone, row.says, "")
			r.want(t, exitDone, "Replay from the beginning: 11,707 records in ", "")
			r.want(t, exitDone, "62 keys; each key's values and order are the file's.", "")
			r.want(t, exitDone, "Replay from 2018-02-06: ", "")
			t.Logf("%s\n%s", time.Since(began), r.stdout)
		})
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Error("left behind:", left)
	}
}
