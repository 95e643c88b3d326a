package cluster

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds what should take a moment.
const patience = time.Minute

// echo answers each connection with what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func newLink(t *testing.T, target string) *Link {
	t.Helper()
	l, err := NewLink("test", target, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// say sends a word and returns what comes back.
func say(c net.Conn, word string) (string, error) {
	if _, err := io.WriteString(c, word); err != nil {
		return "", err
	}
	answer := make([]byte, len(word))
	_, err := io.ReadFull(c, answer)
	return string(answer), err
}

func mustSay(t *testing.T, c net.Conn, word string) {
	t.Helper()
	if got, err := say(c, word); got != word || err != nil {
		t.Fatalf("%q came back as %q, %v", word, got, err)
	}
}

func TestLink_CarriesAndCuts(t *testing.T) {
	l := newLink(t, echo(t))
	c := dial(t, l)
	mustSay(t, c, "fair")
	l.Set(Weather{Cut: true})
	if got, err := say(c, "cut"); err == nil {
		t.Errorf("%q came back over a link that was cut", got)
	}
	if c, err := net.Dial("tcp", l.Address()); err == nil { // It may be reset before it stands.
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if got, err := say(c, "new"); err == nil {
			t.Errorf("%q came back over a new connection", got)
		}
	}
	l.Set(Weather{})
	mustSay(t, dial(t, l), "fair again")
}

// What a sender sent into a black hole arrives when it clears, even if the sender
// has gone: a request that is done late.
func TestLink_HoldsWhatWasSent(t *testing.T) {
	taken := make(chan string, 1)
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		c, err := target.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		first := make([]byte, 5)
		io.ReadFull(c, first)
		rest, _ := io.ReadAll(c)
		taken <- string(first) + string(rest)
	}()
	l := newLink(t, target.Addr().String())
	c := dial(t, l)
	if _, err := io.WriteString(c, "early"); err != nil {
		t.Fatal(err)
	}
	l.Set(Weather{Hold: true})
	if _, err := io.WriteString(c, " and late"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case got := <-taken:
		t.Fatalf("%q passed a black hole", got)
	case <-time.After(200 * time.Millisecond): // the absence of an event takes real time
	}
	l.Set(Weather{})
	select {
	case got := <-taken:
		if got != "early and late" {
			t.Errorf("%q arrived", got)
		}
	case <-time.After(patience):
		t.Error("nothing arrived")
	}
}

func TestLink_DelaysAndResets(t *testing.T) {
	l := newLink(t, echo(t))
	l.Set(Weather{Delay: 50 * time.Millisecond})
	c := dial(t, l)
	began := time.Now()
	mustSay(t, c, "slow")
	if took := time.Since(began); took < 100*time.Millisecond { // there and back
		t.Errorf("it took %v", took)
	}
	l.Set(Weather{Reset: 1000})
	var sent int
	for ; sent < 100; sent++ {
		if _, err := say(c, strings.Repeat("x", 100)); err != nil {
			break
		}
	}
	if sent > 10 { // twice the 1,000 bytes, both ways
		t.Errorf("%d pieces passed before the reset", sent)
	}
}

func TestLink_LeadsElsewhere(t *testing.T) {
	a, b := echo(t), echo(t)
	l := newLink(t, a)
	c := dial(t, l)
	mustSay(t, c, "a")
	l.Retarget(b)
	if _, err := say(c, "still a"); err == nil {
		t.Error("a connection to the former target lives")
	}
	mustSay(t, dial(t, l), "b")
}

func TestRequests_RefusesAndLosesAnswers(t *testing.T) {
	var done atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		done.Add(1)
		w.Header().Set("X-Host", r.Host)
	}))
	defer backend.Close()
	p, err := NewRequests(backend.URL, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	put := func() (*http.Response, error) {
		request, err := http.NewRequest(http.MethodPut, "http://"+p.Address()+"/k", bytes.NewReader(make([]byte, 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "signed.example"
		answer, err := (&http.Client{Timeout: patience}).Do(request)
		if err == nil {
			answer.Body.Close()
		}
		return answer, err
	}
	if answer, err := put(); err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("X-Host") != "signed.example" {
		t.Fatalf("in fair weather: %v, %v", answer, err)
	}
	p.Set(Trouble{SlowDown: 1})
	if answer, err := put(); err != nil || answer.StatusCode != http.StatusServiceUnavailable || done.Load() != 1 {
		t.Fatalf("refused: %v, %v, %d done", answer, err, done.Load())
	}
	p.Set(Trouble{Lost: 1})
	if answer, err := put(); err == nil || done.Load() != 2 {
		t.Fatalf("its answer is lost: %v, %v, %d done", answer, err, done.Load())
	} else if errors.Is(err, http.ErrHandlerTimeout) {
		t.Fatal(err)
	}
	p.Set(Trouble{Slow: 1, By: 50 * time.Millisecond})
	if answer, err := put(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("late: %v, %v", answer, err)
	}
	if p.Refused.Load() != 1 || p.AnswersLost.Load() != 1 || p.Delayed.Load() != 1 {
		t.Errorf("counted %d refused, %d lost, %d late", p.Refused.Load(), p.AnswersLost.Load(), p.Delayed.Load())
	}
}
