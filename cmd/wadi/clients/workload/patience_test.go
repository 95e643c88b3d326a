package main

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloses(t *testing.T) {
	never := make(chan struct{})
	for _, row := range []struct {
		name   string
		end    func() error
		after  time.Duration // how long closes takes
		behind []string      // then
		still  []string      // a minute later
	}{
		{name: "at once", end: func() error { return nil }},
		{name: "it fails", end: func() error { return errors.New("is closing already") }},
		{name: "just in time", end: func() error { time.Sleep(closeMax - time.Second); return nil }, after: closeMax - time.Second},
		{name: "late", end: func() error { time.Sleep(closeMax + time.Second); return nil }, after: closeMax, behind: []string{"c"}},
		{name: "never", end: func() error { <-never; return nil }, after: closeMax, behind: []string{"c"}, still: []string{"c"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				never = make(chan struct{})
				r, began := newRecorder(nil, time.Now()), time.Now()
				r.closes("c", row.end)
				if took := time.Since(began); took != row.after {
					t.Errorf("took %v, want %v", took, row.after)
				}
				if behind := r.summary().NeverClosed; !slices.Equal(behind, row.behind) {
					t.Errorf("left behind: %q, want %q", behind, row.behind)
				}
				time.Sleep(time.Minute)
				if behind := r.summary().NeverClosed; !slices.Equal(behind, row.still) {
					t.Errorf("left behind a minute later: %q, want %q", behind, row.still)
				}
				close(never) // So that its goroutine ends.
			})
		})
	}
}
