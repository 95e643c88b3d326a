package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// program is a Kafka client in a process of its own: ./member for the Go clients,
// ./java, ./node and ./python for the others. It is started with the address of an
// agent and a client.id, and takes requests on standard input, one JSON object a line:
//
//	{"do":"create","topic":…,"partitions":…,"configs":{…}}
//	{"do":"list"}                  answered with "topics"
//	{"do":"partitions","topic":…}  answered with "count"
//	{"do":"remove","topic":…}
//	{"do":"produce","topic":…,"codec":…,"records":[{"key","value","at","headers":[[key,value],…]}]}
//	{"do":"read","topic":…,"since":…,"rack":…}   answered with "records", which have "offset" and "partition"
//	    too; the Java client alone knows a rack, which may be left out
//	{"do":"tour","topic":…,"group":…,"brokers":…}   the admin calls of tour_test.go, answered with "steps"
//	{"do":"join","topic":…,"group":…,"instance":…,"protocol":"classic"|"consumer","session":…}
//	{"do":"leave"}                 leaves the group, if the member is dynamic, and consumes no more
//
// Keys, values and headers' values are base64 or null. Each request is answered
// by {"done":…} or {"error":…}; ./member has only the last two. Between join and
// leave it tells what happens:
//
//	{"event":"assigned","partitions":[…]}        all that it holds now
//	{"event":"read","partition":…,"first":…,"last":…}
//	{"event":"committed","partition":…,"offset":…}   once the coordinator has said so
//
// It ends when standard input does.
type program struct {
	t       *testing.T
	name    string
	cmd     *exec.Cmd
	in      io.Writer
	answers chan answer
	ended   chan struct{}
	log     *lockedBuffer // standard error
	mu      struct {
		sync.Mutex
		events []answer
		failed string // the first error that was no answer
		asking bool
	}
}

// answer is a line of a program's output.
type answer struct {
	Done, Error, Event string
	Partitions         []int32
	Partition          int32
	First, Last        int64
	Offset             int64
	Topics, Steps      []string
	Count              int
	Records            []wireRecord
}

// wireRecord is a record in a request or an answer.
type wireRecord struct {
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	At        int64        `json:"at"`
	Key       []byte       `json:"key"`
	Value     []byte       `json:"value"`
	Headers   [][2]*string `json:"headers"` // key, and value in base64
}

// run starts a program. It is gone when the test ends.
func run(t *testing.T, name string, command []string, address string) *program {
	t.Helper()
	return runAt(t, name, command, placeOf(t, address, name))
}

func runAt(t *testing.T, name string, command []string, at place) *program {
	t.Helper()
	p := &program{
		t: t, name: name, cmd: exec.Command(command[0], append(slices.Clone(command[1:]), at.bootstrap, at.clientID)...),
		answers: make(chan answer, 1), ended: make(chan struct{}), log: &lockedBuffer{},
	}
	p.cmd.Stderr = p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	go func() {
		defer close(p.ended)
		p.follow(out)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s says:\n%s", name, tail(p.log.String(), 4000))
		}
	})
	return p
}

func (p *program) follow(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			p.log.Write(line) // what a library prints
			continue
		}
		p.mu.Lock()
		switch {
		case a.Event != "":
			p.mu.events = append(p.mu.events, a)
		case p.mu.asking:
			p.mu.asking = false
			p.answers <- a
		case p.mu.failed == "":
			p.mu.failed = a.Error
		}
		p.mu.Unlock()
	}
}

// ask sends a request and returns its answer.
func (p *program) ask(request map[string]any) answer {
	p.t.Helper()
	line, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.mu.asking = true
	p.mu.Unlock()
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	select {
	case a := <-p.answers:
		if a.Error != "" {
			p.t.Fatalf("%s: %s: %s", p.name, request["do"], a.Error)
		}
		return a
	case <-p.ended:
		p.t.Fatalf("%s ended, asked to %s", p.name, request["do"])
	case <-time.After(patience):
		p.t.Fatalf("%s does not answer, asked to %s", p.name, request["do"])
	}
	return answer{}
}

// events returns what happened until now. It fails the test if something failed.
func (p *program) events() []answer {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.failed != "" {
		p.t.Fatalf("%s: %s", p.name, p.mu.failed)
	}
	return slices.Clone(p.mu.events)
}

// assigned is what a member holds, by its last word about it.
func (p *program) assigned() []int32 {
	p.t.Helper()
	events := p.events()
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Event == "assigned" {
			return slices.Sorted(slices.Values(events[i].Partitions))
		}
	}
	return nil
}

// count of the events of a kind.
func (p *program) count(event string) (n int) {
	p.t.Helper()
	for _, e := range p.events() {
		if e.Event == event {
			n++
		}
	}
	return n
}

// kill is kill -9; what it wrote before has been read then.
func (p *program) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// foreign is a client that is a program in another language.
type foreign struct {
	name    string
	command []string
}

func (f foreign) once(t *testing.T, address string, request map[string]any) answer {
	t.Helper()
	p := run(t, f.name, f.command, address)
	defer p.kill()
	return p.ask(request)
}

func toWire(records []record) []wireRecord {
	var out []wireRecord
	for _, r := range records {
		w := wireRecord{At: r.at, Key: r.key, Value: r.value, Headers: [][2]*string{}}
		for _, h := range r.headers {
			var value *string
			if h.value != nil {
				b, _ := json.Marshal(h.value)
				json.Unmarshal(b, &value)
			}
			w.Headers = append(w.Headers, [2]*string{&h.key, value})
		}
		out = append(out, w)
	}
	return out
}

func fromWire(t *testing.T, records []wireRecord) []record {
	t.Helper()
	var out []record
	for _, w := range records {
		r := record{partition: w.Partition, offset: w.Offset, at: w.At, key: w.Key, value: w.Value}
		for _, h := range w.Headers {
			var value []byte
			b, _ := json.Marshal(h[1])
			if err := json.Unmarshal(b, &value); err != nil || h[0] == nil {
				t.Fatalf("header %s: %v", b, err)
			}
			r.headers = append(r.headers, header{*h[0], value})
		}
		out = append(out, r)
	}
	return out
}

func (f foreign) produce(t *testing.T, address, topic, codec string, records []record) {
	t.Helper()
	f.once(t, address, map[string]any{"do": "produce", "topic": topic, "codec": codec, "records": toWire(records)})
}

func (f foreign) read(t *testing.T, address, topic string, since int64) []record {
	t.Helper()
	return fromWire(t, f.once(t, address, map[string]any{"do": "read", "topic": topic, "since": since}).Records)
}

func (f foreign) create(t *testing.T, address, topic string, partitions int, configs map[string]string) {
	t.Helper()
	if configs == nil {
		configs = map[string]string{}
	}
	f.once(t, address, map[string]any{"do": "create", "topic": topic, "partitions": partitions, "configs": configs})
}

func (f foreign) list(t *testing.T, address string) []string {
	t.Helper()
	return f.once(t, address, map[string]any{"do": "list"}).Topics
}

func (f foreign) partitions(t *testing.T, address, topic string) int {
	t.Helper()
	return f.once(t, address, map[string]any{"do": "partitions", "topic": topic}).Count
}

func (f foreign) remove(t *testing.T, address, topic string) {
	t.Helper()
	f.once(t, address, map[string]any{"do": "remove", "topic": topic})
}

func (a answer) String() string {
	switch a.Event {
	case "assigned":
		return fmt.Sprintf("holds %v", a.Partitions)
	case "read":
		return fmt.Sprintf("read %d: %d–%d", a.Partition, a.First, a.Last)
	}
	return fmt.Sprintf("committed %d: %d", a.Partition, a.Offset)
}
