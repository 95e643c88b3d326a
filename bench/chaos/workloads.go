package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/bench/history"
)

// workload is a process with clients: cmd/wadi/clients/workload.
type workload struct {
	name    string
	grouped bool // its readers are members of a group of its name
	command *exec.Cmd
	stdin   io.WriteCloser
	lines   chan string // of its standard output; closed at its end
	summary summary
	told    bool // the summary
}

// summary is what a workload says at its end.
type summary struct {
	Invoked      int            `json:"invoked"`
	Acknowledged int            `json:"acknowledged"`
	Unknown      int            `json:"unknown"`
	Read         int            `json:"read"`
	Commits      int            `json:"commits"`
	Rebalances   int            `json:"rebalances"`
	Transactions map[string]int `json:"transactions"` // by outcome, as histories have it
	OutOfRange   int            `json:"out_of_range"`
	Troubles     map[string]int `json:"troubles"`
	Stalls       []stall        `json:"stalls"`
	NeverClosed  []string       `json:"never_closed"` // clients that were left behind
}

// stall is a time in which a client got nothing that it waited for.
type stall struct {
	Process string        `json:"process"`
	From    time.Duration `json:"from"` // since the run began
	To      time.Duration `json:"to"`
}

// The histories: what idempotent producers promise; what plain ones do, whose own retries may
// put a value into the log twice, and late; and what transactional ones promise to readers of committed records.
const (
	strictHistory        = "idempotent"
	plainHistory         = "plain"
	transactionalHistory = "transactional"
)

// ignored are the kinds of anomalies that a history's producers don't promise to avoid.
func ignored() map[string][]history.Kind {
	return map[string][]history.Kind{
		strictHistory: nil, transactionalHistory: nil,
		plainHistory: {history.Duplicate, history.NonmonotonicSend},
	}
}

// parseProducers reads a list of sorts of producers, each of which has a history.
func parseProducers(text string) (names []string, err error) {
	for name := range strings.SplitSeq(text, ",") {
		if _, known := ignored()[name]; !known || slices.Contains(names, name) {
			return nil, fmt.Errorf("%q is no list of %s, %s and %s", text, strictHistory, plainHistory, transactionalHistory)
		}
		names = append(names, name)
	}
	return names, nil
}

// readBoth has each library read by assign in one history and as members of a group in the other.
const readBoth = "both"

// startWorkloads starts two libraries with each kind of producer.
func (r *run) startWorkloads() error {
	for _, name := range r.histories {
		file, err := os.Create(r.historyFile(name))
		if err != nil {
			return err
		}
		w, err := history.NewWriter(file, history.Header{Ignore: ignored()[name], Note: fmt.Sprintf("chaos, seed %d, %s producers", r.seed, name)})
		if err == nil {
			err = w.Flush()
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return err
		}
		for i, client := range []string{"franz-go", "librdkafka"} {
			if err := r.startWorkload(name, client, uint64(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copiers copy what transactional producers send.
const copiers = 2

func (r *run) startWorkload(kind, client string, number uint64) error {
	w := &workload{name: kind[:1] + "-" + client[:1], lines: make(chan string, 16)}
	copies := kind == transactionalHistory && client == "franz-go"
	switch {
	case kind == transactionalHistory: // Its copiers are a group; its readers need all assigned to them.
		w.grouped = copies
	default:
		w.grouped = r.read == "subscribe" || r.read == readBoth && (kind == strictHistory) == (client == "librdkafka")
	}
	var bootstrap []string
	for _, a := range r.cluster.Agents {
		bootstrap = append(bootstrap, a.Kafka)
	}
	arguments := []string{"-client", client, "-bootstrap", strings.Join(bootstrap, ","), "-history", r.historyFile(kind), "-name", w.name,
		"-topics", kind, "-producers", "2", "-readers", "2", fmt.Sprintf("-idempotent=%v", kind == strictHistory),
		fmt.Sprintf("-transactional=%v", kind == transactionalHistory), "-rate", fmt.Sprint(r.rate), "-debug", r.debug, "-seed", fmt.Sprint(r.seed + number), "-since", fmt.Sprint(r.since.UnixNano())}
	if w.grouped {
		arguments = append(arguments, "-group", w.name)
	}
	if copies {
		arguments = append(arguments, "-copiers", fmt.Sprint(copiers))
	}
	w.command = exec.Command(r.workload, arguments...)
	log, err := os.Create(filepath.Join(r.folder, "workload-"+w.name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // The process has it.
	w.command.Stderr = log
	if w.stdin, err = w.command.StdinPipe(); err != nil {
		return err
	}
	out, err := w.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := w.command.Start(); err != nil {
		return fmt.Errorf("start the workload: %w", err)
	}
	go func() {
		defer close(w.lines)
		for lines := bufio.NewReaderSize(out, 1<<20); ; {
			line, err := lines.ReadString('\n')
			if line != "" {
				w.lines <- strings.TrimSpace(line)
			}
			if err != nil {
				return
			}
		}
	}()
	r.workloads = append(r.workloads, w)
	return nil
}

// await returns the next line of a workload.
func (r *run) await(w *workload, deadline <-chan time.Time) (string, bool) {
	select {
	case line, ok := <-w.lines:
		if !ok {
			r.found("the workload %s has ended: see its log", w.name)
		}
		return line, ok
	case <-deadline:
		r.found("the workload %s is silent: its log says where it stands", w.name)
		w.command.Process.Signal(syscall.SIGQUIT)
		return "", false
	}
}

// quietWorkloads ends the producers and waits for the outcomes of all sends.
func (r *run) quietWorkloads(patience time.Duration) {
	for _, w := range r.workloads {
		fmt.Fprintln(w.stdin, "quiet")
	}
	deadline := time.After(patience)
	for _, w := range r.workloads {
		r.await(w, deadline)
	}
}

// endWorkloads ends the readers and takes the summaries.
func (r *run) endWorkloads(patience time.Duration) {
	for _, w := range r.workloads {
		fmt.Fprintln(w.stdin, "end")
		w.stdin.Close()
	}
	deadline := time.After(patience)
	for _, w := range r.workloads {
		line, ok := r.await(w, deadline)
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(line), &w.summary); err != nil {
			r.found("the workload %s says %.80q: %v", w.name, line, err)
			continue
		}
		w.told = true
		if w.summary.OutOfRange > 0 {
			r.found("readers of %s were told %d times that their place is out of range", w.name, w.summary.OutOfRange)
		}
	}
}

// killWorkloads ends what is left.
func (r *run) killWorkloads() {
	for _, w := range r.workloads {
		w.command.Process.Kill()
		for range w.lines {
		}
		w.command.Wait()
	}
}

// stalls are all workloads' silences, the longest first.
func (r *run) stalls() (all []stall) {
	for _, w := range r.workloads {
		all = append(all, w.summary.Stalls...)
	}
	slices.SortFunc(all, func(a, b stall) int { return int((b.To - b.From) - (a.To - a.From)) })
	return all
}
