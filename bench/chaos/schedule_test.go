package main

import (
	"slices"
	"testing"
	"time"
)

func TestSchedule_RepeatsBySeed(t *testing.T) {
	all, err := parseFaults("mix")
	if err != nil {
		t.Fatal(err)
	}
	a := schedule(7, 5*time.Minute, 30*time.Second, 3, all)
	if b := schedule(7, 5*time.Minute, 30*time.Second, 3, all); !slices.Equal(a, b) {
		t.Error("one seed gave two schedules")
	}
	if c := schedule(8, 5*time.Minute, 30*time.Second, 3, all); slices.Equal(a, c) {
		t.Error("two seeds gave one schedule")
	}
}

func TestSchedule_EveryKindComesQuietFirst(t *testing.T) {
	all, err := parseFaults("agents,clients,peers,postgres,bucket")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(shapes()) {
		t.Errorf("the mixes name %d of %d kinds", len(all), len(shapes()))
	}
	seen, calm := map[kind]bool{}, 0
	const duration, window = 5 * time.Minute, 30 * time.Second
	for seed := range uint64(100) {
		windows := map[time.Duration]bool{}
		for _, f := range schedule(seed, duration, window, 3, all) {
			seen[f.Kind] = true
			windows[(f.At-quietBefore)/window] = true
			if f.At < quietBefore || f.At >= duration || f.For < 0 {
				t.Fatalf("seed %d: %v at %v", seed, f, f.At)
			}
		}
		calm += int((duration-quietBefore)/window) + 1 - len(windows)
	}
	for _, s := range shapes() {
		if !seen[s.kind] {
			t.Errorf("%s never comes", s.kind)
		}
	}
	if calm < 150 || calm > 350 { // a quarter of 1,000
		t.Errorf("%d of 1,000 windows are calm", calm)
	}
}

func TestParseFaults(t *testing.T) {
	if _, err := parseFaults("kill,earthquake"); err == nil {
		t.Error("an earthquake was accepted")
	}
	if got, err := parseFaults("none"); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if got, err := parseFaults("kill,bucket-503"); err != nil || len(got) != 2 {
		t.Error(got, err)
	}
}
