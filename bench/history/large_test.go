package history

import (
	"flag"
	"fmt"
	"io"
	"iter"
	"runtime"
	"testing"
	"time"
)

var operations = flag.Int("operations", 100_000, "operations of the large history")

// long is a clean history: ten producers and two consumers on 16 keys, a poll of
// ten records for each ten sends and consumer, and each thousand sends a control
// record.
func long(operations int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		const keys = 16
		var next [keys]int64
		texts := [keys][]Record{}
		n := 0
		emit := func(e Event) bool { n++; return yield(e, nil) }
		for i := 0; n < 2*operations; i++ {
			k := i / 10 % keys
			key, value, process := fmt.Sprint("orders-", k), fmt.Sprint("value-", i), fmt.Sprint("p", i%10)
			if i%1000 == 999 {
				if !emit(Event{Function: Hole, Key: key, First: next[k], Last: next[k], Why: Control}) {
					return
				}
				next[k]++
			}
			if !emit(Event{Process: process, Type: Invoke, Function: Send, Ops: []Op{SendOp(key, value, -1)}}) ||
				!emit(Event{Process: process, Type: OK, Function: Send, Ops: []Op{SendOp(key, value, next[k])}}) {
				return
			}
			texts[k] = append(texts[k], Record{next[k], value})
			next[k]++
			if i%10 != 9 {
				continue
			}
			for _, c := range []string{"c0", "c1"} {
				if !emit(Event{Process: c, Type: Invoke, Function: Poll}) || !emit(Event{Process: c, Type: OK, Function: Poll, Ops: []Op{PollOp(key, texts[k]...)}}) {
					return
				}
			}
			texts[k] = nil
		}
		for k := range keys { // the end: everything is read
			if len(texts[k]) > 0 && !emit(Event{Process: "c0", Type: OK, Function: Poll, Ops: []Op{PollOp(fmt.Sprint("orders-", k), texts[k]...)}}) {
				return
			}
		}
	}
}

// A long history is read and judged in seconds, and in memory that grows with
// its values: 400 bytes each at most.
func TestCheck_LongHistories(t *testing.T) {
	from, to := io.Pipe()
	go func() {
		w, err := NewWriter(to, Header{})
		for e := range long(*operations) {
			if err == nil {
				err = w.Write(e)
			}
		}
		if err == nil {
			err = w.Flush()
		}
		to.CloseWithError(err)
	}()
	began := time.Now()
	r, err := NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := NewChecker(r.Header)
	for e, err := range r.Events() {
		if err == nil {
			err = c.Add(e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	report := c.Report()
	if !report.Clean() || report.Keys != 16 || report.Acked < *operations/2 {
		t.Fatalf("%+v", report)
	}
	bytes := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d events, %d values in %v, %d bytes a value", report.Events, report.Sent, time.Since(began), bytes/int64(report.Sent))
	if bytes > 400*int64(report.Sent) {
		t.Errorf("%d bytes for %d values", bytes, report.Sent)
	}
	runtime.KeepAlive(c)
}
