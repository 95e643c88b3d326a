package shard

import (
	"math"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// merge appends a swap and returns whether it stood.
func (j *journal) merge(w Swap) bool {
	j.t.Helper()
	if w.Partition == (PartitionID{}) {
		w.Partition = p0
	}
	return j.append(50, AppendSwap(nil, w)).Outcomes[0].(bool)
}

// tens is a journal whose partition 0 has ten flushes of ten records each, 100 bytes long.
func tens(t *testing.T) *journal {
	j := opened(t)
	for i := range 10 {
		j.append(1, flushOf(uint64(i+1), batch(NoProducer, 0, 0, 10)))
	}
	return j
}

func TestSwap_Guards(t *testing.T) {
	for name, c := range map[string]struct {
		swaps []Swap
		stood []bool
		to    int64
		bytes int64
	}{
		"a merge":                             {[]Swap{{To: 30, Bytes: 300}}, []bool{true}, 30, 300},
		"two in order":                        {[]Swap{{To: 30, Bytes: 300}, {Expected: 30, To: 100, Bytes: 700}}, []bool{true, true}, 100, 1000},
		"two at once":                         {[]Swap{{To: 30, Bytes: 300}, {To: 20, Bytes: 200}}, []bool{true, false}, 30, 300},
		"the same twice":                      {[]Swap{{To: 30, Bytes: 300}, {To: 30, Bytes: 300}}, []bool{true, false}, 30, 300},
		"one that expects more":               {[]Swap{{Expected: 10, To: 30, Bytes: 200}}, []bool{false}, 0, 0},
		"beyond the end":                      {[]Swap{{To: 101, Bytes: 1}}, []bool{false}, 0, 0},
		"of a partition that isn't open":      {[]Swap{{Partition: PartitionID{1, 9}, To: 10}}, []bool{false}, 0, 0},
		"a rewrite":                           {[]Swap{{To: 30, Bytes: 300}, {Rewrite: true, Bytes: -100}}, []bool{true, true}, 30, 200},
		"a rewrite that removes all":          {[]Swap{{To: 30, Bytes: 300}, {Rewrite: true, Bytes: -301}}, []bool{true, true}, 30, 0},
		"a rewrite of what isn't open":        {[]Swap{{Partition: PartitionID{1, 9}, Rewrite: true, Bytes: 1}}, []bool{false}, 0, 0},
		"a merge that isn't stopped by one":   {[]Swap{{Rewrite: true}, {To: 30, Bytes: 300}}, []bool{true, true}, 30, 300},
		"more bytes than there are":           {[]Swap{{To: 10, Bytes: math.MaxInt64}, {Expected: 10, To: 20, Bytes: 1}}, []bool{true, true}, 20, math.MaxInt64},
		"a merge within an extent's offsets":  {[]Swap{{To: 25, Bytes: 250}}, []bool{true}, 25, 250},
		"after a merge within an extent's":    {[]Swap{{To: 25, Bytes: 250}, {Expected: 25, To: 30, Bytes: 50}}, []bool{true, true}, 30, 300},
		"a merge of an extent's other offset": {[]Swap{{To: 25, Bytes: 250}, {Expected: 20, To: 30, Bytes: 50}}, []bool{true, false}, 25, 250},
	} {
		t.Run(name, func(t *testing.T) {
			j := tens(t)
			for i, w := range c.swaps {
				if got := j.merge(w); got != c.stood[i] {
					t.Errorf("swap %d stood: %t", i, got)
				}
			}
			m, ok := j.state.Merged(p0)
			if !ok || m.To != c.to || m.Bytes != c.bytes {
				t.Errorf("merged %+v", m)
			}
			if logStart, high, stable, _ := j.state.Bounds(p0); logStart != 0 || high != 100 || stable != 100 {
				t.Errorf("bounds %d, %d, %d", logStart, high, stable)
			}
			checkHot(t, j.state, c.to)
			restored := New()
			if err := restored.Restore(j.state.AppendSnapshot(nil)); err != nil {
				t.Fatal(err)
			}
			if again, _ := restored.Merged(p0); again != m {
				t.Errorf("restored %+v of %+v", again, m)
			}
			checkHot(t, restored, c.to)
		})
	}
}

// checkHot checks that what is merged is planned no more, and the rest as before.
func checkHot(t *testing.T, s *State, merged int64) {
	t.Helper()
	for offset := range int64(100) {
		plan := s.Plan(p0, offset, 1<<20, nil)
		switch {
		case offset < merged && len(plan) > 0:
			t.Fatalf("offset %d is merged and planned: %+v", offset, plan[0])
		case offset >= merged && (len(plan) == 0 || plan[0].BaseOffset > offset || plan[0].End() <= offset || plan[len(plan)-1].End() != 100):
			t.Fatalf("offset %d: %+v", offset, plan)
		}
	}
	hot := s.Hot(nil)
	if merged == 100 {
		if len(hot) != 0 {
			t.Fatalf("hot %+v", hot)
		}
		return
	}
	extents := int((100 - merged + 9) / 10)
	if len(hot) != 1 || hot[0].First != merged || hot[0].Extents != extents || hot[0].Bytes != int64(100*extents) {
		t.Fatalf("hot %+v", hot)
	}
	segments := map[segment.ID]bool{}
	s.EachSegment(func(id segment.ID) { segments[id] = true })
	if len(segments) != extents {
		t.Fatalf("segments %v", segments)
	}
}

func TestSwap_LogStart(t *testing.T) {
	j := tens(t)
	j.append(1, AppendLogStart(nil, p0, 45))
	if h := j.state.Hot(nil); h[0].First != 45 || h[0].LogStart != 45 {
		t.Errorf("hot %+v", h)
	}
	// The rows begin where the log does; what is below was never merged, and is gone.
	if !j.merge(Swap{Expected: 0, To: 60, Bytes: 200}) {
		t.Error("a merge from the log start on didn't stand")
	}
	j.append(1, AppendLogStart(nil, p0, 70))
	if !j.merge(Swap{Expected: 60, To: 65}) {
		t.Error("a merge of what retention has taken meanwhile didn't stand")
	}
	if plan := j.state.Plan(p0, 70, 1<<20, nil); len(plan) != 3 || plan[0].BaseOffset != 70 {
		t.Errorf("plan %+v", plan)
	}
	if got := j.state.Bytes(p0); got != 200+300 {
		t.Errorf("%d bytes", got)
	}
}

func TestSwap_NewAppendsAfterAll(t *testing.T) {
	j := tens(t)
	if !j.merge(Swap{To: 100, Bytes: 1000}) {
		t.Fatal("void")
	}
	if _, ok := j.state.MaxTimestamp(p0); ok {
		t.Error("an extent is left")
	}
	j.append(1, flushOf(20, batch(NoProducer, 0, 0, 10)))
	if plan := j.state.Plan(p0, 100, 1, nil); len(plan) != 1 || plan[0].BaseOffset != 100 {
		t.Errorf("plan %+v", plan)
	}
	if m, _ := j.state.Merged(p0); m.To != 100 {
		t.Errorf("merged %+v", m)
	}
	// Deletion of the topic takes it along, whatever swap comes later.
	j.append(1, AppendClosed(nil, 1))
	if _, ok := j.state.Merged(p0); ok || j.merge(Swap{Expected: 100, To: 110}) {
		t.Error("a closed partition is merged")
	}
}

func TestSwap_RefusesBytes(t *testing.T) {
	for name, body := range map[string][]byte{
		"none": nil, "no form": {1, 0}, "another form": {1, 0, 2, 0}, "a merge of nothing": {1, 0, 0, 5, 0, 0},
		"no bytes": {1, 0, 1}, "more": {1, 0, 1, 0, 0},
	} {
		if _, err := New().Apply(metastore.At{}, metastore.EffectSwap, body, true); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := Describe(metastore.EffectSwap, body); err == nil {
			t.Errorf("%s is described", name)
		}
	}
}

// TestSwap_Golden holds the bytes of swaps and of a state that is merged.
func TestSwap_Golden(t *testing.T) {
	goldenEffects(t, "swap.txt",
		AppendOpened(nil, Opened{Topic: 1, ID: testTopicID, Stride: 64, Count: 2}),
		flushOf(7, batch(NoProducer, 0, 0, 10), batch(9, 1, 0, 1000)),
		flushOf(8, batch(9, 1, 1000, 300)),
		AppendSwap(nil, Swap{Partition: p0, To: 1010, Bytes: 200}),
		AppendSwap(nil, Swap{Partition: p0, Expected: 10, To: 1010, Bytes: 200}), // void
		AppendSwap(nil, Swap{Partition: p0, Rewrite: true, Bytes: -77}),
		AppendSwap(nil, Swap{Partition: PartitionID{1, 64}, Rewrite: true}),
	)
}
