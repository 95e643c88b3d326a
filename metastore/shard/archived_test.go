package shard

import (
	"testing"
)

func TestArchived_Guards(t *testing.T) {
	for name, c := range map[string]struct {
		ranges []Archived
		stood  []bool
		to     int64
	}{
		"one":                            {[]Archived{{To: 30}}, []bool{true}, 30},
		"two in order":                   {[]Archived{{To: 30}, {Expected: 30, To: 100}}, []bool{true, true}, 100},
		"two at once":                    {[]Archived{{To: 30}, {To: 20}}, []bool{true, false}, 30},
		"one that expects more":          {[]Archived{{Expected: 10, To: 30}}, []bool{false}, 0},
		"one that expects less":          {[]Archived{{To: 30}, {Expected: 20, To: 40}}, []bool{true, false}, 30},
		"beyond the end":                 {[]Archived{{To: 101}}, []bool{false}, 0},
		"of a partition that isn't open": {[]Archived{{Partition: PartitionID{1, 9}, To: 10}}, []bool{false}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			j := tens(t)
			for i, a := range c.ranges {
				if a.Partition == (PartitionID{}) {
					a.Partition = p0
				}
				if got := j.append(50, AppendArchived(nil, a)).Outcomes[0].(bool); got != c.stood[i] {
					t.Errorf("range %d stood: %t", i, got)
				}
			}
			restored := New()
			if err := restored.Restore(j.state.AppendSnapshot(nil)); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*State{j.state, restored} {
				if to, ok := s.Archived(p0); !ok || to != c.to {
					t.Errorf("archived to %d", to)
				}
			}
		})
	}
}

// An open transaction's records are not archived, nor what comes after them.
func TestArchived_OpenTransaction(t *testing.T) {
	j := tens(t)
	f := batch(9, 1, 0, 10)
	f.Transaction = 5
	j.append(1, flushOf(11, f))
	if j.append(50, AppendArchived(nil, Archived{Partition: p0, To: 101})).Outcomes[0].(bool) {
		t.Error("it is archived beyond the last stable offset")
	}
	if !j.append(50, AppendArchived(nil, Archived{Partition: p0, To: 100})).Outcomes[0].(bool) {
		t.Error("what is stable isn't archived")
	}
}

// TestArchived_Golden holds the bytes of the effect and of a state that is archived.
func TestArchived_Golden(t *testing.T) {
	goldenEffects(t, "archived.txt",
		AppendOpened(nil, Opened{Topic: 1, ID: testTopicID, Stride: 64, Count: 2}),
		flushOf(7, batch(NoProducer, 0, 0, 1000)),
		AppendArchived(nil, Archived{Partition: p0, To: 300}),
		AppendArchived(nil, Archived{Partition: p0, Expected: 300, To: 301}),
		AppendArchived(nil, Archived{Partition: p0, Expected: 300, To: 302}), // void
		AppendSwap(nil, Swap{Partition: p0, To: 500, Bytes: 200}),
	)
}
