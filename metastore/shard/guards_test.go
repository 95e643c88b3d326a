package shard

import (
	"math"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

const lastSequence = math.MaxInt32

// Each case is a state and a batch that meets it.
var guardCases = []struct {
	name         string
	state        func(j *journal) // on a journal with partition 0 open
	epoch        int16
	first, count int32
	stands       bool
	verdict      Verdict
}{
	{"3: an unknown producer begins at 0", nil, 0, 0, 2, true, Accepted},
	{"3: an unknown producer that begins elsewhere is a gap, and void", nil, 0, 3, 1, false, Gap},
	{"3: an unknown producer may begin with any epoch", nil, 7, 0, 1, true, Accepted},
	{"3: the next sequence stands", with(0, 0, 3), 0, 3, 1, true, Accepted},
	{"3: a later sequence is a gap", with(0, 0, 3), 0, 4, 1, false, Gap},
	{"3: a higher epoch begins at 0", with(0, 0, 3), 1, 0, 1, true, Accepted},
	{"3: a higher epoch that begins elsewhere is a gap", with(0, 0, 3), 1, 3, 1, false, Gap},
	{"3: a higher epoch may skip some", with(0, 0, 3), 9, 0, 1, true, Accepted},
	{"3: 2³¹−1 is followed by 0", wrapped(lastSequence), 0, 0, 1, true, Accepted},
	{"3: a batch may straddle the wrap", wrapped(lastSequence - 2), 0, lastSequence - 1, 4, true, Accepted},
	{"3: after a straddling batch", straddled, 0, 2, 1, true, Accepted},
	{"3: closed takes no next sequence", fenced(0), 0, 3, 1, false, Closed},
	{"3: closed takes a higher epoch", fenced(0), 1, 0, 1, true, Accepted},
	{"3: standing clears closed", func(j *journal) { fenced(0)(j); j.append(1, flush(batch(7, 1, 0, 1))) }, 1, 1, 1, true, Accepted},

	{"6: the partition's closing comes first", func(j *journal) { with(0, 0, 3)(j); j.append(1, AppendClosed(nil, 1)) }, 0, 0, 3, false, PartitionClosed},
	{"6: a duplicate of the last batch", with(0, 0, 3), 0, 0, 3, false, Duplicate},
	{"6: a duplicate of the oldest of five", batches(5), 0, 0, 1, false, Duplicate},
	{"6: older than the window is behind", batches(6), 0, 0, 1, false, Behind},
	{"6: the same first with another last is no duplicate, but behind", with(0, 0, 3), 0, 0, 2, false, Behind},
	{"6: over the end is behind", with(0, 0, 3), 0, 2, 5, false, Behind},
	{"6: a duplicate that straddled the wrap", straddled, 0, lastSequence - 1, 4, false, Duplicate},
	{"6: behind reaches back over the wrap", straddled, 0, lastSequence, 1, false, Behind},
	{"6: half the circle ahead is a gap", with(0, 0, 3), 0, 1<<30 + 2, 1, false, Gap},
	{"6: just under half the circle behind is behind", wrapped(1<<30 - 1), 0, 1, 1, false, Behind},
	{"6: half the circle behind is ahead", wrapped(1 << 30), 0, 0, 1, false, Gap},
	{"6: a lower epoch", with(3, 0, 3), 2, 3, 1, false, StaleEpoch},
	{"6: a lower epoch's sequences are not compared", with(3, 0, 3), 2, 0, 3, false, StaleEpoch},
	{"6: a new epoch forgets the window of the old one", func(j *journal) { with(0, 0, 3)(j); with(1, 0, 1)(j) }, 0, 0, 3, false, StaleEpoch},
	{"6: a duplicate is found although its epoch was closed", fenced(0), 0, 0, 3, false, Duplicate},
	{"6: behind comes before closed", fenced(0), 0, 0, 2, false, Behind},
	{"6: closed holds for its own epoch only", fenced(0), 1, 3, 1, false, Gap},
	{"6: a duplicate is found although a higher epoch was fenced", fenced(1), 0, 0, 3, false, Duplicate},
	{"6: below a fenced epoch", fenced(1), 0, 3, 1, false, StaleEpoch},

	{"8: the fenced batch itself", fenced(1), 1, 5, 1, false, Closed},
	{"8: a fence of a higher epoch leaves no last sequence to be behind", fenced(1), 1, 1, 1, false, Closed},
	{"8: nothing of a fenced higher epoch stands", fenced(1), 1, 0, 1, false, Closed},
	{"8: above a fenced epoch", fenced(1), 2, 0, 1, true, Accepted},
	{"8: a fenced unknown producer is known", fencedUnknown, 4, 0, 1, false, Closed},
	{"8: a fenced unknown producer, lower epoch", fencedUnknown, 3, 0, 1, false, StaleEpoch},

	{"13: a forgotten producer begins at 0", forgotten, 0, 0, 1, true, Accepted},
	{"13: a forgotten producer's next batch is a gap", forgotten, 0, 3, 1, false, Gap},
	{"17: a log start move touches no producer", func(j *journal) { with(0, 0, 3)(j); j.append(1, AppendLogStart(nil, p0, 3)) }, 0, 0, 3, false, Duplicate},
}

// with lets a batch of producer 7 stand.
func with(epoch int16, first, count int32) func(j *journal) {
	return func(j *journal) {
		if !stood(j.append(1, flush(batch(7, epoch, first, count))))[0] {
			j.t.Fatal("did not stand")
		}
	}
}

// batches lets n batches of one record stand.
func batches(n int32) func(j *journal) {
	return func(j *journal) {
		for i := range n {
			with(0, i, 1)(j)
		}
	}
}

// wrapped makes last the last sequence of epoch 0.
func wrapped(last int32) func(j *journal) {
	return func(j *journal) {
		with(0, 0, last)(j)
		with(0, last, 1)(j)
	}
}

// straddled has batches 0…2³¹−3 and 2³¹−2…1.
func straddled(j *journal) {
	with(0, 0, lastSequence-1)(j)
	with(0, lastSequence-1, 4)(j)
}

func fence(epoch int16, expect Expected) []byte {
	return AppendFence(nil, Fence{Partition: p0, Producer: 7, Epoch: epoch, Expect: expect})
}

// fenced has a batch of sequences 0…2 in epoch 0, then a fence of a batch in epoch.
func fenced(epoch int16) func(j *journal) {
	return func(j *journal) {
		with(0, 0, 3)(j)
		if res := j.append(1, fence(epoch, Expected{Epoch: 0, Last: 2})); res.Outcomes[0] != true {
			j.t.Fatal("the fence is void")
		}
	}
}

func fencedUnknown(j *journal) { j.append(1, fence(4, Expected{Unknown: true})) }

func forgotten(j *journal) {
	with(0, 0, 3)(j)
	j.append(1, AppendForget(nil, Forget{Partition: p0, Producer: 7, Epoch: 0, Last: 2}))
}

func TestGuards(t *testing.T) {
	for _, c := range guardCases {
		t.Run(c.name, func(t *testing.T) {
			j := opened(t)
			if c.state != nil {
				c.state(j)
			}
			got := j.state.Judge(p0, 7, c.epoch, c.first, LastSequence(c.first, c.count), NoTransaction)
			if got.Verdict != c.verdict {
				t.Errorf("judged %v, want %v", got.Verdict, c.verdict)
			}
			if pure := j.state.Producer(p0, 7).Judge(c.epoch, c.first); pure != c.verdict && c.verdict != PartitionClosed && c.verdict != Duplicate {
				t.Errorf("without the window judged %v, want %v", pure, c.verdict)
			}
			_, before, _, _ := j.state.Bounds(p0)
			known := j.state.Producer(p0, 7)
			res := j.append(2, flush(batch(7, c.epoch, c.first, c.count)))
			outcome := res.Outcomes[0].([]BatchOutcome)[0]
			if outcome.Stood != c.stands {
				t.Fatalf("stood %t, want %t", outcome.Stood, c.stands)
			}
			if !c.stands {
				return
			}
			if outcome.BaseOffset != before {
				t.Errorf("base offset %d, want the high watermark %d", outcome.BaseOffset, before)
			}
			last := LastSequence(c.first, c.count)
			if got := j.state.Judge(p0, 7, c.epoch, c.first, last, NoTransaction); got != (Judgement{Duplicate, before, -1}) {
				t.Errorf("its repeat is judged %+v", got)
			}
			if got, want := j.state.Producer(p0, 7), (ProducerState{true, c.epoch, last, false}); got != want || known.Stood(c.epoch, c.first, c.count) != want {
				t.Errorf("producer %+v, want %+v", got, want)
			}
		})
	}
}

// 1: the number of a topic is never reused, so what comes late for a deleted topic is void.
func TestGuards_ClosedPartitionVoidsAll(t *testing.T) {
	j := opened(t)
	with(0, 0, 3)(j)
	if res := j.append(1, AppendClosed(nil, 1)); res.Outcomes[0] != true {
		t.Error("closing was void")
	}
	res := j.append(1,
		flush(batch(7, 0, 3, 1), batch(NoProducer, 0, 0, 1)),
		fence(0, Expected{Unknown: true}), fence(0, Expected{Last: 2}),
		AppendForget(nil, Forget{Partition: p0, Producer: 7, Last: 2}),
		AppendLogStart(nil, p0, 1), AppendClosed(nil, 1))
	want := []any{[]BatchOutcome{{}, {}}, false, false, false, int64(-1), false}
	for i := range want {
		if b, ok := want[i].([]BatchOutcome); ok {
			if !slices.Equal(res.Outcomes[i].([]BatchOutcome), b) {
				t.Errorf("effect %d: %v", i, res.Outcomes[i])
			}
		} else if res.Outcomes[i] != want[i] {
			t.Errorf("effect %d came to %v, want %v", i, res.Outcomes[i], want[i])
		}
	}
	if _, _, _, ok := j.state.Bounds(p0); ok || len(j.state.Partitions()) > 0 {
		t.Error("still open")
	}
}

// 2: batches without producer stand in any open partition.
func TestGuards_NoProducer(t *testing.T) {
	j := opened(t)
	for range 2 {
		if got := stood(j.append(1, flush(batch(NoProducer, 0, 0, 1)))); !got[0] {
			t.Error("void")
		}
	}
	if got := j.state.Judge(p0, NoProducer, -1, -1, -1, NoTransaction); got.Verdict != Accepted {
		t.Error(got.Verdict)
	}
	if got := j.state.Judge(PartitionID{1, 4}, NoProducer, -1, -1, -1, NoTransaction); got.Verdict != PartitionClosed {
		t.Error(got.Verdict)
	}
}

// 2: what is reserved, or unknown, stops the journal.
func TestGuards_ReservedStops(t *testing.T) {
	for name, effect := range map[string][]byte{
		"inline batches": metastore.AppendEffect(nil, metastore.EffectInlineBatches, nil),
		"catalog's":      metastore.AppendEffect(nil, metastore.EffectTopicDeleted, []byte{1}),
		"opened twice":   AppendOpened(nil, Opened{Topic: 1, ID: testTopicID, First: 3, Stride: 1, Count: 1}),
		"another id":     AppendOpened(nil, Opened{Topic: 1, ID: [16]byte{9}, First: 4, Stride: 1, Count: 1}),
		"bytes left":     metastore.AppendEffect(nil, metastore.EffectPartitionsClosed, []byte{1, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			j := opened(t)
			if _, err := j.tryLand(j.entry(1, effect)); err == nil {
				t.Error("folded")
			}
		})
	}
}

// 4, 6, 7 (45 from the replica is untruthful): agent B holds a producer's second
// batch, its first is in the hands of agent A. B's replica is fresh and knows
// nothing of the producer; a definite error would be followed by A's append.
func TestGuards_GapIsNotAnError(t *testing.T) {
	j := opened(t)
	second := batch(7, 0, 1, 1)
	if got := j.state.Judge(p0, 7, 0, 1, 1, NoTransaction); got.Verdict != Gap {
		t.Fatalf("agent B judges %v", got.Verdict)
	}
	decided := Expect(j.state.Producer(p0, 7))
	with(0, 0, 1)(j) // agent A's append lands
	if res := j.append(2, fence(0, decided)); res.Outcomes[0] != false {
		t.Error("7: the fence stands although the predecessor has landed")
	}
	if got := j.state.Judge(p0, 7, 0, 1, 1, NoTransaction); got.Verdict != Accepted {
		t.Errorf("7: decided again: %v", got.Verdict)
	}
	if !stood(j.append(2, flush(second)))[0] {
		t.Error("the second batch is void")
	}
}

// 7, 8: the fence lands first; then 45 is true, for A's batch is void, and the
// client's retry under a new epoch makes the value stand once.
func TestGuards_FenceMakesTheErrorTrue(t *testing.T) {
	j := opened(t)
	late := j.entry(1, flush(batch(7, 0, 0, 1))) // agent A's, decided before the fence
	if res := j.append(2, fence(0, Expect(j.state.Producer(p0, 7)))); res.Outcomes[0] != true {
		t.Fatal("the fence is void")
	}
	if got := j.state.Judge(p0, 7, 0, 1, 1, NoTransaction); got.Verdict != Closed {
		t.Fatalf("agent B judges %v", got.Verdict)
	}
	if stood(j.land(late))[0] {
		t.Error("the predecessor stands after the answer 45")
	}
	if !stood(j.append(2, flush(batch(7, 1, 0, 1))))[0] {
		t.Error("the new epoch is void")
	}
	if _, end, _, _ := j.state.Bounds(p0); end != 1 {
		t.Errorf("%d values", end)
	}
}

// 8: a fence is void unless epoch and last are as seen; a repeated one stands.
func TestGuards_FenceExpects(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  func(j *journal)
		expect Expected
		want   bool
	}{
		{"unknown", func(*journal) {}, Expected{Unknown: true}, true},
		{"known since", with(0, 0, 3), Expected{Unknown: true}, false},
		{"forgotten since", forgotten, Expected{Last: 2}, false},
		{"as seen", with(0, 0, 3), Expected{Last: 2}, true},
		{"a later sequence", batches(2), Expected{Last: 0}, false},
		{"a later epoch", with(1, 0, 1), Expected{Last: 0}, false},
		{"fenced already", fenced(0), Expected{Last: 2}, true},
		{"fenced to a higher epoch", fenced(1), Expected{Last: 2}, false},
		{"fenced to a higher epoch, as seen", fenced(1), Expected{Epoch: 1, Last: -1}, true},
		{"fenced while unknown, as seen", fencedUnknown, Expected{Epoch: 4, Last: -1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := opened(t)
			c.state(j)
			if res := j.append(2, fence(4, c.expect)); res.Outcomes[0] != c.want {
				t.Errorf("stands: %v", res.Outcomes[0])
			}
			if got := j.state.Producer(p0, 7); got.Closed && c.want && (got.Epoch != 4 || got.Last != -1) {
				t.Errorf("%+v", got)
			}
		})
	}
	j := opened(t)
	with(5, 0, 3)(j)
	j.append(2, fence(2, Expected{Epoch: 5, Last: 2}))
	if got := j.state.Producer(p0, 7); got != (ProducerState{true, 5, 2, true}) {
		t.Errorf("a fence of a lower epoch leaves %+v", got)
	}
}

// 13: who judged a producer old may be late.
func TestGuards_ForgetExpects(t *testing.T) {
	j := opened(t)
	with(0, 0, 1)(j)
	seen := j.state.Producer(p0, 7)
	forget := AppendForget(nil, Forget{Partition: p0, Producer: 7, Epoch: seen.Epoch, Last: seen.Last})
	with(0, 1, 1)(j)
	if res := j.append(2, forget); res.Outcomes[0] != false || !j.state.Producer(p0, 7).Known {
		t.Error("forgotten although it has written since")
	}
	if res := j.append(2, AppendForget(nil, Forget{Partition: p0, Producer: 7, Last: 1})); res.Outcomes[0] != true || j.state.Producer(p0, 7).Known {
		t.Error("not forgotten")
	}
	if res := j.append(2, AppendForget(nil, Forget{Partition: p0, Producer: 7, Last: 1})); res.Outcomes[0] != false {
		t.Error("an unknown producer was forgotten")
	}
}

// 5, 11: the first send of an append was slow, its resend lands first. Whichever
// lands first counts, the other is void as a whole.
func TestGuards_RepeatedEntryIsVoid(t *testing.T) {
	j := opened(t)
	e := j.entry(1, flush(batch(NoProducer, 0, 0, 1)))
	if res := j.land(e); res.Void {
		t.Error("the first is void")
	}
	j.append(1, flush(batch(NoProducer, 0, 0, 1)))
	if res := j.land(e); !res.Void {
		t.Error("the repeat is applied")
	}
	if _, end, _, _ := j.state.Bounds(p0); end != 2 {
		t.Errorf("%d records, want 2", end)
	}
}

// 5: a batch whose void was learnt from the fold is decided again, under the same sequence.
func TestGuards_VoidIsDecidedAgain(t *testing.T) {
	j := opened(t)
	if stood(j.append(1, flush(batch(7, 0, 1, 1))))[0] {
		t.Fatal("stands before its predecessor")
	}
	with(0, 0, 1)(j)
	if !stood(j.append(1, flush(batch(7, 0, 1, 1))))[0] {
		t.Error("void")
	}
}

// 12 (forgetting on hearsay): one replica forgets a term's number because the agents
// table says that it ended, another does not. A copy that landed before the end
// is folded by the first and not by the second. So only the entry makes them forget.
func TestGuards_ForgettingOnHearsay(t *testing.T) {
	j := opened(t)
	e := j.entry(1, flush(batch(NoProducer, 0, 0, 1)))
	j.land(e)
	j.land(e) // a copy that was on its way when the term was ended

	hearsay := j.follow(2)
	ended := metastore.NewFold(hearsay.state)
	if res, err := ended.Apply(1, e, nil); err != nil || res.Void {
		t.Fatal("the counterexample does not hold", err)
	}
	if _, end, _, _ := hearsay.state.Bounds(p0); end != 2 {
		t.Fatal("the counterexample does not hold")
	}

	if _, end, _, _ := j.state.Bounds(p0); end != 1 {
		t.Errorf("%d records, want 1", end)
	}
	j.append(2, metastore.AppendTermEnded(nil, 1))
	if j.fold.Number(1) != 0 {
		t.Error("the number is still known")
	}
}

// 17: a log start is clamped to the high watermark and never goes back.
func TestGuards_LogStart(t *testing.T) {
	j := opened(t)
	for i := range int32(4) {
		with(0, 10*i, 10)(j)
	}
	for _, c := range []struct{ to, want int64 }{{15, 15}, {5, 15}, {20, 20}, {math.MaxInt64, 40}, {40, 40}} {
		if res := j.append(1, AppendLogStart(nil, p0, c.to)); res.Outcomes[0] != c.want {
			t.Errorf("moved to %d: %v, want %d", c.to, res.Outcomes[0], c.want)
		}
	}
	if got := j.state.Counts(); got != (Counts{Partitions: 4, Producers: 1}) {
		t.Errorf("%+v", got)
	}
	if !stood(j.append(1, flush(batch(7, 0, 40, 1))))[0] {
		t.Error("the next batch is void")
	}
}

func TestSequences_WrapAround(t *testing.T) {
	for _, c := range []struct{ first, count, last, next int32 }{
		{0, 1, 0, 1},
		{lastSequence, 1, lastSequence, 0},
		{lastSequence - 1, 4, 1, 2},
		{0, lastSequence, lastSequence - 1, lastSequence},
		{1, lastSequence, lastSequence, 0},
		{lastSequence, lastSequence, lastSequence - 2, lastSequence - 1},
	} {
		if last := LastSequence(c.first, c.count); last != c.last || NextSequence(last) != c.next {
			t.Errorf("%d sequences from %d on: last %d, next %d", c.count, c.first, last, NextSequence(last))
		}
	}
}
