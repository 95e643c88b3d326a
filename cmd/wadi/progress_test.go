package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		screen := &buffer{}
		bar := &progress{w: screen, bytesTotal: 1000, began: time.Now()}
		time.Sleep(time.Second)
		bar.at(250, 50)
		bar.at(260, 52) // too soon to be drawn
		time.Sleep(progressEvery)
		bar.at(500, 110)
		bar.finish()
		want := "\r\x1b[K" + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "  25%  50 records, 50/s" +
			"\r\x1b[K" + strings.Repeat("█", 15) + strings.Repeat("░", 15) + "  50%  110 records, 100/s" +
			"\r\x1b[K"
		if got := screen.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		screen = &buffer{}
		bar = &progress{w: screen, began: time.Now().Add(-time.Second)}
		bar.at(2048, 1)
		if got := screen.String(); got != "\r\x1b[K1 record, 2.0 KiB, 1/s" {
			t.Errorf("%q", got)
		}
	})
}

func TestProgress_OnlyOnATerminal(t *testing.T) {
	for _, row := range []struct {
		out, in    bool // whether a person sits there
		bytesTotal int64
		drawn      bool
	}{
		{true, false, 0, true}, {true, true, 10, true}, {true, true, 0, false}, {false, false, 10, false},
	} {
		p := &program{stderr: &buffer{}, stdin: strings.NewReader("")}
		p.terminal = func(stream any) bool {
			if stream == p.stderr {
				return row.out
			}
			return row.in
		}
		if drawn := newProgress(p, row.bytesTotal).w != nil; drawn != row.drawn {
			t.Errorf("%+v: %v", row, drawn)
		}
	}
}
