package history

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// copyOf copies an event so far that damaging it leaves the original whole.
func copyOf(e Event) Event {
	e.Ops = slices.Clone(e.Ops)
	for i := range e.Ops {
		if e.Ops[i].Offset != nil {
			offset := *e.Ops[i].Offset
			e.Ops[i].Offset = &offset
		}
		for key, records := range e.Ops[i].Poll {
			e.Ops[i].Poll = map[string][]Record{key: slices.Clone(records)}
		}
	}
	return e
}

// Whatever is damaged in a clean history, something is found, and the right thing among it.
func TestCheck_EveryDamageIsFound(t *testing.T) {
	var clean []Event
	for e := range long(4000) {
		clean = append(clean, e)
	}
	records := func(e *Event) []Record {
		if e.Function == Poll && e.Type == OK {
			for _, r := range e.Ops[0].Poll {
				return r
			}
		}
		return nil
	}
	put := func(e *Event, r []Record) {
		for key := range e.Ops[0].Poll {
			e.Ops[0].Poll[key] = r
		}
	}
	acked := func(e *Event) bool { return e.Function == Send && e.Type == OK }
	for _, d := range []struct {
		name  string
		finds Kind
		does  func(rng *rand.Rand, e *Event) bool // whether it can be done to this event
	}{
		{"a record is left out", IntPollSkip, func(rng *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) < 3 {
				return false
			}
			at := 1 + rng.IntN(len(r)-2)
			put(e, slices.Delete(r, at, at+1))
			return true
		}},
		{"a poll's first record is left out", PollSkip, func(_ *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) < 2 || r[0].Offset == 0 {
				return false
			}
			put(e, r[1:])
			return true
		}},
		{"a record is handed over twice", IntNonmonotonicPoll, func(rng *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) == 0 {
				return false
			}
			at := rng.IntN(len(r))
			put(e, slices.Insert(r, at, r[at]))
			return true
		}},
		{"a poll's records change places", IntNonmonotonicPoll, func(_ *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) < 2 {
				return false
			}
			r[0], r[1] = r[1], r[0]
			return true
		}},
		{"a value is another one", PhantomValue, func(rng *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) == 0 {
				return false
			}
			r[rng.IntN(len(r))].Value += "?"
			return true
		}},
		{"two values change places", InconsistentOffsets, func(_ *rand.Rand, e *Event) bool {
			r := records(e)
			if len(r) < 2 {
				return false
			}
			r[0].Value, r[1].Value = r[1].Value, r[0].Value
			return true
		}},
		{"an acknowledgement names another offset", AcknowledgedOffset, func(rng *rand.Rand, e *Event) bool {
			if !acked(e) {
				return false
			}
			*e.Ops[0].Offset += int64(1 + rng.IntN(5))
			return true
		}},
		{"a send is said to have failed", AbortedRead, func(_ *rand.Rand, e *Event) bool {
			if !acked(e) {
				return false
			}
			e.Type = Fail
			return true
		}},
		{"a hole is not told", OffsetGap, func(_ *rand.Rand, e *Event) bool {
			if e.Function != Hole {
				return false
			}
			*e = Event{Process: "nobody", Function: Assign}
			return true
		}},
		{"an acknowledged value was another one", LostWrite, func(_ *rand.Rand, e *Event) bool {
			if !acked(e) {
				return false
			}
			e.Ops[0].Value += "?"
			return true
		}},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			at := rng.IntN(len(clean) / 2)
			damaged := slices.Clone(clean)
			for ; ; at++ {
				damaged[at] = copyOf(clean[at])
				if d.does(rng, &damaged[at]) {
					break
				}
			}
			report, err := Check(Header{Version: Version}, func(yield func(Event, error) bool) {
				for _, e := range damaged {
					if !yield(e, nil) {
						return
					}
				}
			})
			if err != nil || report.Counts[d.finds] == 0 {
				t.Errorf("%s in event %d: found %v, %v; want %s", d.name, at, report, err, d.finds)
			}
		}
	}
}
