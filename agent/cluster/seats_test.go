package cluster

import (
	"fmt"
	"slices"
	"testing"
)

func numbered(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

const seatsTried = 24

func TestDivide_IsEven(t *testing.T) {
	widest := 0
	for _, shards := range []int{1, 5, 24, 64, 100, 256, 1000} {
		for n := 1; n <= seatsTried; n++ {
			for missing := range 4 { // seats before the last
				places := numbered(n + missing)
				for i := range missing {
					places = slices.Delete(places, i*n/4, i*n/4+1)
				}
				load := map[int]int{}
				for _, p := range divide(shards, places) {
					load[p]++
				}
				least, most := shards, 0
				for _, p := range places {
					least, most = min(least, load[p]), max(most, load[p])
				}
				if most-least > 1 || most > (shards+n-1)/n || len(load) > n {
					t.Errorf("%d shards, seats %v: %d to %d shards a seat", shards, places, least, most)
				}
				widest = max(widest, most-least)
			}
		}
	}
	t.Logf("1 to %d seats: they differ by %d shards at most", seatsTried, widest)
}

func moves(a, b []int) int {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestDivide_MovesLittle: one seat more, or less, whichever it is, moves its share; at
// most twice its share where another is missing beside it.
func TestDivide_MovesLittle(t *testing.T) {
	most := 0.0 // of a seat's share
	for _, shards := range []int{1, 24, 64, 100, 1000} {
		for n := 2; n <= seatsTried; n++ {
			with, share := divide(shards, numbered(n)), (shards+n-1)/n
			for gone := 1; gone <= n; gone++ {
				without := divide(shards, slices.Delete(numbered(n), gone-1, gone))
				moved := moves(with, without)
				most = max(most, float64(moved)/float64(share))
				if moved > share {
					t.Errorf("%d shards, seat %d of %d: %d move, its share is %d", shards, gone, n, moved, share)
				}
				for other := 1; other < gone && n > 2 && shards == 64; other++ {
					both := slices.DeleteFunc(numbered(n), func(s int) bool { return s == gone || s == other })
					share := (shards + n - 2) / (n - 1)
					if moved := moves(without, divide(shards, both)); moved > 2*share {
						t.Errorf("%d shards, seat %d of %d without %d: %d move, its share is %d", shards, other, n, gone, moved, share)
					}
				}
			}
		}
	}
	t.Logf("1 to %d seats: one more, or less, moves %.2f of its share at most", seatsTried, most)
}

func TestDivide_IgnoresTheOrderOfSeats(t *testing.T) {
	places := []int{9, 2, 12, 7, 1}
	want := divide(64, places)
	slices.Sort(places)
	if got := divide(64, places); !slices.Equal(got, want) {
		t.Error("another order of the same seats is another division")
	}
	if divide(8, nil) != nil {
		t.Error("no seats, and a division")
	}
}

// TestDivide_Golden: agents of all releases must agree.
func TestDivide_Golden(t *testing.T) {
	if got, want := fmt.Sprint(divide(64, numbered(3))), goldenThree; got != want {
		t.Errorf("three seats have\n%s\nnot\n%s", got, want)
	}
	if got, want := fmt.Sprint(score(0x3000001, 1), score(0, 8)), goldenScores; got != want {
		t.Errorf("the scores are %s, not %s", got, want)
	}
}

const (
	goldenThree  = "[1 3 2 3 2 2 1 1 1 2 3 1 2 3 3 1 1 1 2 1 2 3 3 3 2 1 2 1 1 2 2 1 2 2 3 3 3 3 1 2 2 1 3 2 3 1 2 3 1 2 1 3 2 1 2 3 1 1 3 3 2 3 3 1]"
	goldenScores = "952737120647591915 4619994553400953975"
)
