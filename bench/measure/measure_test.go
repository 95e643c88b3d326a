package measure

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestCPU_IsOurs(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	busy, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for x := 0; ; x++ { // until it is seen: 100 ms of work
		if after, err := CPU(os.Getpid()); err != nil || after-before >= 100*time.Millisecond {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	took := time.Since(began)
	if after, err := CPUTree(os.Getpid()); err != nil || after < before+100*time.Millisecond {
		t.Errorf("with children %v, %v", after, err)
	}
	after, err := Busy()
	if err != nil || after-busy < 50*time.Millisecond {
		t.Errorf("the machine worked %v in %v, %v", after-busy, took, err)
	}
	if rss, err := RSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("%d bytes, %v", rss, err)
	}
	if most, err := RSSMax(os.Getpid()); err != nil || most < 1<<20 {
		t.Errorf("%d bytes at most, %v", most, err)
	}
}

func TestTouch_TakesNoMoreThanHalf(t *testing.T) {
	if touched, _, err := Touch(8 << 20); err != nil || touched != 8<<20 {
		t.Errorf("%d, %v", touched, err)
	}
}

func TestOrder_GoesForthAndBack(t *testing.T) {
	if got := Order(3, 2); !slices.Equal(got, []int{0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0}) {
		t.Error(got)
	}
}

func TestSeries(t *testing.T) {
	s := Series{3, 1, 2, 10}
	if least, most := s.Range(); s.Median() != 2.5 || least != 1 || most != 10 || (Series{4}).Median() != 4 || Series(nil).Median() != 0 {
		t.Error(s.Median(), least, most)
	}
}
