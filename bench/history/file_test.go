package history

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReader_RefusesWhatTheFormatDoesNotAllow(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{"", "line 1: the header is missing"},
		{"\n\n", "line 1: the header is missing"},
		{`{"history":2}`, "line 1: the history's version is 2"},
		{`{}`, "line 1: the history's version is 0"},
		{`{"history":1,"ignore":["all"]}`, `line 1: "all" is no kind of anomaly`},
		{`{"history":1,"isolation":"none"}`, `line 1: isolation is "none"`},
		{plainHeader + "\nhello", "line 2: invalid character"},
		{plainHeader + "\n{} {}", "line 2: something follows"},
		{plainHeader + "\n\n" + `{"process":"p","type":"ok","f":"poll","op":[]}`, "line 3: json: unknown field"},
		{plainHeader + "\n" + `{"type":"ok","f":"poll"}`, "line 2: the process is missing"},
		{plainHeader + "\n" + `{"process":"p","f":"poll"}`, "line 2: the type is missing"},
		{plainHeader + "\n" + `{"process":"p","type":"done","f":"poll"}`, `line 2: type is "done"`},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"peek"}`, `line 2: f is "peek"`},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"send"}`, "line 2: a send needs ops"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"send","ops":[{"poll":{}}]}`, "line 2: a send has no polls"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"poll","ops":[{"send":"k","value":"a"}]}`, "line 2: a poll has no sends"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"send","ops":[{"send":"k"}]}`, "line 2: a send needs a key and a value"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"send","ops":[{"send":"k","value":"a","poll":{}}]}`, "line 2: an op is a send or a poll"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"send","ops":[{"send":"k","value":"a","offset":-1}]}`, "line 2: offset -1 is not"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"poll","ops":[{"poll":{"k":[[-1,"a"]]}}]}`, "line 2: offset -1 is not"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"poll","ops":[{"poll":{"k":[["a",1]]}}]}`, "is not [offset, value]"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"poll","ops":[{"poll":{"k":[[1,"a",2]]}}]}`, "is not [offset, value]"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"assign","from":{"k":-5}}`, "line 2: offset -5 is not"},
		{plainHeader + "\n" + `{"process":"p","type":"ok","f":"rebalance"}`, "line 2: a rebalance needs keys"},
		{plainHeader + "\n" + `{"process":"p","f":"assign","ops":[{"poll":{}}]}`, "line 2: assign has no ops"},
		{plainHeader + "\n" + `{"process":"p","type":"commit","f":"send"}`, "line 2: only a txn has a commit"},
		{plainHeader + "\n" + `{"f":"hole","key":"k","first":2,"last":1,"why":"control"}`, "line 2: a hole needs"},
		{plainHeader + "\n" + `{"f":"hole","key":"k","first":1,"last":1,"why":"because"}`, `line 2: why is "because"`},
		{plainHeader + "\n" + strings.Repeat(" ", lineBytesMax+1), "line 2: the line is longer than"},

		{plainHeader + "\n" + sent("p", "ok", "k", "a", 0) + "\n" + sent("q", "ok", "k", "a", 1), `line 3: the value "a" was sent to "k" before, in the operation of line 2`},
		{plainHeader + "\n" + invoked("p", "k", "a", "a"), `line 2: the value "a" is sent to "k" twice`},
		{plainHeader + "\n" + txn("p", "ok", ">k a 0", ">k a 1"), `line 2: the value "a" is sent to "k" twice`},
		{plainHeader + "\n" + invoked("p", "k", "a") + "\n" + invoked("p", "k", "b"), `line 3: the process "p" has an operation "" in flight`},
		{plainHeader + "\n" + `{"process":"p","type":"commit","f":"txn"}`, `line 2: the process "p" has no operation "" in flight to commit`},
		{plainHeader + "\n" + `{"process":"p","type":"invoke","f":"poll"}` + "\n" + sent("p", "ok", "k", "a", 0), "line 3: the operation was invoked as a poll, and sends"},
	} {
		err := readAndCheck(row.text)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%.200s: %v; want %s", row.text, err, row.says)
		}
	}
}

func readAndCheck(text string) error {
	r, err := NewReader(strings.NewReader(text))
	if err == nil {
		_, err = Check(r.Header, r.Events())
	}
	return err
}

func TestWriter_WhatIsWrittenIsRead(t *testing.T) {
	events := []Event{
		{Process: "p", Type: Invoke, Function: Send, ID: "7", Time: 5, Ops: []Op{SendOp("orders-0", "1", -1)}},
		{Process: "p", Type: OK, Function: Send, ID: "7", Time: 9, Ops: []Op{SendOp("orders-0", "1", 0)}},
		{Process: "c", Type: OK, Function: Assign, Keys: []string{"orders-0"}, From: map[string]int64{"orders-0": 0}},
		{Process: "c", Type: Invoke, Function: Poll},
		{Process: "c", Type: OK, Function: Poll, Rebalanced: []string{"orders-1"}, Ops: []Op{PollOp("orders-0", Record{0, "1"}, Record{1, "<é\"\\\n>"})}},
		{Process: "c", Type: OK, Function: Poll, Ops: []Op{PollOp("orders-0")}},
		{Process: "c", Type: Info, Function: Poll, Error: "connection reset", Note: "agent 2"},
		{Function: Hole, Key: "orders-0", First: 2, Last: 3, Why: Control},
	}
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Isolation: ReadCommitted, Ignore: []Kind{Unseen}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(Event{Function: Poll}); err == nil {
		t.Error("an event without a process was written")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&b)
	if err != nil || r.Header.Version != Version || !slices.Equal(r.Header.Ignore, []Kind{Unseen}) {
		t.Fatalf("read the header %+v, %v", r.Header, err)
	}
	i := 0
	for got, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		want := events[i]
		want.Line = i + 2
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v\nwrote %+v", got, want)
		}
		i++
	}
	if i != len(events) {
		t.Errorf("read %d of %d events", i, len(events))
	}
}

// Whatever the bytes, reading, judging and telling end without a panic, and
// what was read is written and read again as it was.
func FuzzHistory(f *testing.F) {
	for _, r := range rows() {
		f.Add(plainHeader + "\n" + strings.ReplaceAll(strings.Join(r.lines, "\n"), "}{", "}\n{"))
	}
	f.Add(`{"history":1,"isolation":"read_uncommitted","ignore":["unseen"],"look_for":["int-send-skip"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader(strings.NewReader(text))
		if err != nil {
			return
		}
		var events []Event
		for e, err := range r.Events() {
			if err != nil {
				break
			}
			e.Line = 0
			events = append(events, e)
		}
		all := func(yield func(Event, error) bool) {
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
		}
		if report, err := Check(r.Header, all); err == nil {
			if err := report.Tell(io.Discard, all); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		w, err := NewWriter(&b, r.Header)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		once := b.String()
		if r, err = NewReader(&b); err != nil {
			t.Fatal(err)
		}
		var c bytes.Buffer
		w, _ = NewWriter(&c, r.Header)
		for e, err := range r.Events() {
			if err != nil {
				t.Fatalf("%v in\n%s", err, once)
			}
			w.Write(e)
		}
		w.Flush()
		if c.String() != once {
			t.Fatalf("wrote\n%s\nand then\n%s", once, c.String())
		}
	})
}
