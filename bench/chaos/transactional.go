package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/bench/cluster"
	"github.com/wadi-io/wadi/bench/history"
)

// What cmd/wadi/clients/workload writes: the topic of a topic's copies, and what stands before the
// copied value in a copy's.
const (
	copySuffix = "-copy"
	copyOf     = " of "
)

// explainHoles reads everything once more through an agent, as nobody who wants committed records only would,
// and writes down which offsets are markers' and which are aborted: those at which the final reader found nothing.
func (r *run) explainHoles(ctx context.Context, a *cluster.Agent, ends map[string]map[int32]int64) error {
	committed, err := r.finally(finalReader(0))
	if err != nil {
		return err
	}
	file, err := os.OpenFile(r.historyFile(transactionalHistory), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	out := lineWriter{file: file, since: r.since}
	err = r.readTopics(ctx, a, transactionalHistory, ends, kgo.ReadUncommitted(), func(records []*kgo.Record) {
		for _, record := range records {
			key := keyOf(record.Topic, record.Partition)
			hole := history.Event{Function: history.Hole, Key: key, First: record.Offset, Last: record.Offset, Why: history.Control}
			if !record.Attrs.IsControl() {
				if _, found := committed[key][record.Offset]; found {
					continue
				}
				hole.Why, hole.Note = history.Aborted, string(record.Value)
			}
			out.write(hole)
		}
	})
	return errors.Join(err, out.err)
}

// finally is what a reader of the transactional history was handed: values by key and offset.
func (r *run) finally(process string) (map[string]map[int64]string, error) {
	file, err := os.Open(r.historyFile(transactionalHistory))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader, err := history.NewReader(file)
	if err != nil {
		return nil, err
	}
	read := map[string]map[int64]string{}
	for e, err := range reader.Events() {
		if err != nil {
			return nil, err
		}
		if e.Process != process {
			continue
		}
		for _, op := range e.Ops {
			for key, records := range op.Poll {
				if read[key] == nil {
					read[key] = map[int64]string{}
				}
				for _, record := range records {
					read[key][record.Offset] = record.Value
				}
			}
		}
	}
	return read, nil
}

// judgeCopies compares what was copied with what there was: each value once, in its partition's order.
func (r *run) judgeCopies() {
	read, err := r.finally(finalReader(0))
	if err != nil {
		r.found("the copies can't be judged: %v", err)
		return
	}
	copied := 0
	for _, key := range slices.Sorted(maps.Keys(read)) {
		if strings.Contains(key, copySuffix+"/") {
			continue
		}
		topic, partition, _ := strings.Cut(key, "/")
		n, err := sameCopies(inOrder(read[key]), inOrder(read[topic+copySuffix+"/"+partition]))
		if copied += n; err != nil {
			r.found("the copies of %s: %v", key, err)
		}
	}
	if copied == 0 {
		r.found("nothing was copied")
	}
	r.note("%d records were copied, in transactions", copied)
}

// inOrder are values by their offsets.
func inOrder(at map[int64]string) (values []string) {
	for _, offset := range slices.Sorted(maps.Keys(at)) {
		values = append(values, at[offset])
	}
	return values
}

// sameCopies checks that a partition's values were copied once each, in their order, and counts them.
func sameCopies(values, copies []string) (int, error) {
	for i, c := range copies {
		_, value, ok := strings.Cut(c, copyOf)
		switch {
		case !ok:
			return i, fmt.Errorf("%q is no copy", c)
		case i >= len(values):
			return i, fmt.Errorf("%q is one too many: there are %d values", c, len(values))
		case value != values[i]:
			return i, fmt.Errorf("%q stands where a copy of %q is due", c, values[i])
		}
	}
	if len(copies) < len(values) {
		return len(copies), fmt.Errorf("%d of %d values were copied; %q was not", len(copies), len(values), values[len(copies)])
	}
	return len(values), nil
}
