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

// TestRolling_IsWhatItSays: an agent is killed or paused every few seconds, never more than
// two at once; Postgres restarts, the bucket refuses for 30 s, and all is over in time.
func TestRolling_IsWhatItSays(t *testing.T) {
	const duration, agents = 10 * time.Minute, 3
	for seed := range uint64(50) {
		faults := rollingSchedule(seed, duration, agents)
		if !slices.Equal(faults, rollingSchedule(seed, duration, agents)) {
			t.Fatal("one seed gave two schedules")
		}
		counts, last := map[kind]int{}, time.Duration(0)
		until := make([]time.Duration, agents)
		for _, f := range faults {
			counts[f.Kind]++
			if f.At < quietBefore || f.At+f.For > duration || f.For < 0 {
				t.Errorf("seed %d: %v at %v", seed, f, f.At)
			}
			if f.Kind == bucketRefuses && f.For != 30*time.Second {
				t.Errorf("seed %d: %v", seed, f)
			}
			if f.Target == everyAgent {
				continue
			}
			if f.At-last > 40*time.Second {
				t.Errorf("seed %d: nothing from %v to %v", seed, last, f.At)
			}
			last = f.At
			down := 1
			for i, end := range until {
				if end > f.At {
					if down++; i == f.Target {
						t.Errorf("seed %d: agent %d is hit twice at once", seed, i)
					}
				}
			}
			if down > downMax {
				t.Errorf("seed %d: %d agents are down at %v", seed, down, f.At)
			}
			until[f.Target] = f.At + f.For
		}
		if counts[postgresRestarts] < 2 || counts[bucketRefuses] != 1 || counts[bucketLost] == 0 || counts[kill]+counts[pause]+counts[pauseBriefly] < 60 {
			t.Errorf("seed %d: %v", seed, counts)
		}
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
