package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/history"
)

// lineWriter appends events to a history that others append to as well.
type lineWriter struct {
	file  *os.File
	since time.Time
	err   error
}

func (w *lineWriter) write(e history.Event) {
	e.Time = int64(time.Since(w.since))
	line, err := json.Marshal(e)
	if err == nil {
		_, err = w.file.Write(append(line, '\n'))
	}
	if err != nil && w.err == nil {
		w.err = err
	}
}

// judge checks the histories and prints the stories of what they show.
func (r *run) judge() {
	for _, name := range r.histories {
		if err := r.judgeOne(name); err != nil {
			r.found("the %s history can't be judged: %v", name, err)
		}
	}
	if slices.Contains(r.histories, transactionalHistory) {
		r.judgeCopies()
	}
}

func (r *run) judgeOne(name string) error {
	file, err := os.Open(r.historyFile(name))
	if err != nil {
		return err
	}
	defer file.Close()
	reader, err := history.NewReader(file)
	if err != nil {
		return err
	}
	report, err := history.Check(reader.Header, reader.Events())
	if err != nil {
		return err
	}
	r.note("%s producers: %d events, %d keys, %d values sent, %d acknowledged, %d read", name, report.Events, report.Keys, report.Sent, report.Acked, report.Read)
	if report.Clean() {
		return nil
	}
	r.found("the %s history shows what no log may do: %v", name, report.Counts)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	again, err := history.NewReader(file)
	if err != nil {
		return err
	}
	return report.Tell(os.Stdout, again.Events())
}

const (
	stallsTold   = 8
	troublesTold = 12
)

// tell prints the counts.
func (r *run) tell(n *nemesis) {
	var total summary
	troubles, transactions := map[string]int{}, map[string]int{}
	var neverClosed []string
	for _, w := range r.workloads {
		s := w.summary
		fmt.Printf("%s: %d sent, %d acknowledged, %d of unknown outcome, %d read, %d commits, %d rebalances\n",
			w.name, s.Invoked, s.Acknowledged, s.Unknown, s.Read, s.Commits, s.Rebalances)
		total.Invoked += s.Invoked
		total.Acknowledged += s.Acknowledged
		total.Unknown += s.Unknown
		total.Read += s.Read
		total.Commits += s.Commits
		total.Rebalances += s.Rebalances
		neverClosed = append(neverClosed, s.NeverClosed...)
		for outcome, count := range s.Transactions {
			transactions[outcome] += count
		}
		for name, count := range s.Troubles {
			troubles[w.name[2:]+" "+name] += count
		}
	}
	fmt.Printf("clients that never closed: %d %s\n", len(neverClosed), strings.Join(neverClosed, ", "))
	faults := 0
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(n.counts)) {
		faults += n.counts[k]
		kinds = append(kinds, fmt.Sprintf("%s %d", k, n.counts[k]))
	}
	fmt.Printf("operations: %d sent, %d acknowledged, %d of unknown outcome, %d records read, %d commits of groups, %d rebalances\n",
		total.Invoked, total.Acknowledged, total.Unknown, total.Read, total.Commits, total.Rebalances)
	if len(transactions) > 0 {
		fmt.Printf("transactions: %d committed, %d aborted or deserted, %d of unknown outcome\n",
			transactions[string(history.OK)], transactions[string(history.Fail)], transactions[string(history.Info)])
	}
	fmt.Printf("faults: %d: %s\n", faults, strings.Join(kinds, ", "))
	var refused, lost, late, there int64
	for _, a := range r.cluster.Agents {
		if a.Requests != nil {
			refused, lost, late = refused+a.Requests.Refused.Load(), lost+a.Requests.AnswersLost.Load(), late+a.Requests.Delayed.Load()
			there += a.Requests.There.Load()
		}
	}
	fmt.Printf("requests to the bucket: %d refused, %d done with their answers lost, %d told that the object is there (412), %d late\n", refused, lost, there, late)
	for _, name := range slices.Sorted(maps.Keys(n.mu.ended)) {
		fmt.Printf("%s ended by itself %d times\n", name, n.mu.ended[name])
	}
	for _, a := range r.cluster.Agents {
		if v := r.mu.vitals[a.Name]; v != nil {
			_, starts := a.Running()
			fmt.Printf("%s: started %d times, %.0f goroutines (most %.0f), %.0f MiB (most %.0f)\n",
				a.Name, starts, v.goroutines, v.goroutinesMax, v.resident/(1<<20), v.residentMax/(1<<20))
		}
	}
	stalls := r.stalls()
	if len(stalls) > 0 {
		fmt.Printf("longest silence that a client met: %v\n", (stalls[0].To - stalls[0].From).Round(time.Millisecond))
	}
	for i, s := range stalls {
		if i < stallsTold {
			fmt.Printf("  %s: %.1f s, from %.1f to %.1f\n", s.Process, (s.To - s.From).Seconds(), s.From.Seconds(), s.To.Seconds())
		}
	}
	most := slices.SortedFunc(maps.Keys(troubles), func(a, b string) int { return troubles[b] - troubles[a] })
	for _, name := range most[:min(len(most), troublesTold)] {
		fmt.Printf("  met %d times: %.200s\n", troubles[name], name)
	}
}
