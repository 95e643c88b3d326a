package transaction

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/metastore/shard"
)

// sabotage leaves out one part of the rules, to show that it is needed.
type sabotage int

const (
	honest          sabotage = iota
	decideUnstrict           // a decision with its markers is appended without Strict
	produceUnadded           // a batch is appended before its partition is known to be added
	completeUnknown          // a transaction is completed before its markers are known
	forgetGroup              // a strict decision leaves out the group's end
	guessedResult            // markers are appended by who has not seen the decision
)

const (
	simShards     = 2
	simPartitions = 4 // of topic 1, in turn in the shards
	simAgents     = 3
)

// simulation has agents that lag and whose appends land late, over the folds of a transactions
// journal, of shards and of groups. Any agent takes itself for the coordinator at any time.
type simulation struct {
	rnd      *rand.Rand
	sabotage sabotage
	ids      []string
	entries  map[metastore.JournalID][][]byte
	agents   []*simAgent // the last one never lags: the truth
	nextID   int64

	decided map[string]bool // whether to commit, by producer and number
	err     error
}

type simAgent struct {
	term     metastore.Term
	numbers  map[metastore.JournalID]uint64
	folds    map[metastore.JournalID]*metastore.Fold
	ids      *State
	shards   [simShards]*shard.State
	groups   *group.State
	inFlight []metastore.Draft
	segment  uint64
}

var (
	simT = metastore.TransactionsJournal(0)
	simG = metastore.GroupsJournal(0)
)

func newSimulation(seed uint64, broken sabotage) *simulation {
	s := &simulation{rnd: rand.New(rand.NewPCG(seed, 9)), sabotage: broken, ids: []string{"a", "b"}, entries: map[metastore.JournalID][][]byte{}, nextID: 100,
		decided: map[string]bool{}}
	for i := range simAgents + 1 {
		a := &simAgent{term: metastore.Term(i + 1), numbers: map[metastore.JournalID]uint64{}, folds: map[metastore.JournalID]*metastore.Fold{}, ids: New(), groups: group.New()}
		a.folds[simT], a.folds[simG] = metastore.NewFold(a.ids), metastore.NewFold(a.groups)
		for i := range simShards {
			a.shards[i] = shard.New()
			a.folds[metastore.ShardJournal(i)] = metastore.NewFold(a.shards[i])
		}
		s.agents = append(s.agents, a)
	}
	for i, o := range shard.Openings(1, [16]byte{1}, 0, 0, simPartitions, simShards) {
		s.append(s.truth(), []metastore.Draft{{Journal: metastore.ShardJournal(i), Effects: shard.AppendOpened(nil, o.Opened)}})
	}
	return s
}

func (s *simulation) truth() *simAgent { return s.agents[simAgents] }

// catchUp has an agent fold up to n entries of a journal.
func (s *simulation) catchUp(a *simAgent, j metastore.JournalID, n int) {
	for f := a.folds[j]; n > 0 && int(f.Version()) < len(s.entries[j]) && s.err == nil; n-- {
		v := f.Version() + 1
		res, err := f.Apply(v, s.entries[j][v-1], func(metastore.Header) bool { return a == s.truth() })
		if err != nil {
			s.err = err
			return
		}
		if a == s.truth() {
			s.observe(j, s.entries[j][v-1], res)
		}
	}
}

// append lands an agent's drafts, all or none, and the truth folds them.
func (s *simulation) append(a *simAgent, drafts []metastore.Draft) {
	for _, d := range drafts {
		if d.Strict && int(d.Expect) != len(s.entries[d.Journal]) {
			return
		}
	}
	for _, d := range drafts {
		a.numbers[d.Journal]++
		e := metastore.AppendHeader(nil, metastore.Header{Term: a.term, Number: a.numbers[d.Journal], Time: int64(len(s.entries[simT]))})
		s.entries[d.Journal] = append(s.entries[d.Journal], append(e, d.Effects...))
	}
	for _, j := range []metastore.JournalID{simT, simG, metastore.ShardJournal(0), metastore.ShardJournal(1)} {
		s.catchUp(s.truth(), j, len(s.entries[j]))
	}
}

func (s *simulation) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// observe notes what an entry came to, and holds it against what came before.
func (s *simulation) observe(j metastore.JournalID, e []byte, res metastore.Result) {
	_, effects, _ := metastore.ParseEntry(e)
	for i := range res.Outcomes {
		kind, body, _, _ := effects.Next()
		d := &metastore.Decoder{Rest: body}
		end := func(place string, producer int64, x uint64, commit bool) {
			key := fmt.Sprint(producer, "/", x)
			if want, ok := s.decided[key]; !ok || want != commit {
				s.fail("%s: transaction %s ends with commit=%t, decided: %t (%t)", place, key, commit, ok, want)
			}
		}
		switch kind {
		case metastore.EffectTransactionDecided:
			if x := decodeDecided(d); res.Outcomes[i] == true && x.Ongoing {
				s.decided[fmt.Sprint(x.ProducerID, "/", x.Number)] = x.Commit
			}
		case metastore.EffectMarker:
			producer, x := int64(d.Uvarint()), d.Uvarint()
			d.Uvarint()
			d.Uvarint()
			d.Uvarint()
			commit := d.Fixed(1)[0] == 1
			d.Uvarint()
			topic := uint64(0)
			for _, o := range res.Outcomes[i].([]shard.MarkerOutcome) {
				topic += d.Uvarint()
				if place := fmt.Sprint(topic, "/", d.Uvarint()); o.Stood {
					end(place, producer, x, commit)
				}
			}
		case metastore.EffectOffsetsEnded:
			if producer, x := int64(d.Uvarint()), d.Uvarint(); res.Outcomes[i] == true {
				end("g", producer, x, d.Fixed(1)[0] == 1)
			}
		}
	}
}

// act has an agent do something that clients or its own sweeps ask of it, by what it has folded.
func (s *simulation) act(a *simAgent) {
	id := s.ids[s.rnd.IntN(len(s.ids))]
	t := a.ids.Get(id)
	put := func(drafts ...metastore.Draft) { a.inFlight = drafts }
	effect := func(e []byte) metastore.Draft { return metastore.Draft{Journal: simT, Effects: e} }
	switch {
	case t == nil || t.Status == Empty && s.rnd.IntN(4) == 0 || !t.Status.Prepared() && t.Status != Ongoing && s.rnd.IntN(10) == 0:
		x := Init{ID: id, Expect: t.written(), Identity: fresh(0, 0), TimeoutMs: 1}
		if x.ProducerID = s.nextID; t != nil {
			x.ProducerID, x.Epoch = t.ProducerID, t.Epoch+1
		} else {
			s.nextID++
		}
		put(effect(AppendInit(nil, x)))
	case t.Status.Prepared():
		s.resume(a, t, put)
	case s.rnd.IntN(3) == 0 && (t.Status == Ongoing || s.sabotage == produceUnadded):
		s.produce(a, t, put)
	case s.rnd.IntN(3) > 0:
		x := Added{ID: id, ProducerID: t.ProducerID, Epoch: t.Epoch, Version2: id == "a", Seen: t.Number, Begin: t.Status != Ongoing,
			Topics: []Topic{{1, 0, []int32{s.rnd.Int32N(simPartitions)}}}}
		if s.rnd.IntN(3) == 0 {
			x.Groups = []string{"g"}
		}
		put(effect(AppendAdded(nil, x)))
	case t.Status == Ongoing:
		s.decide(a, t, put)
	}
}

// produce appends a batch, or offsets, of a transaction that is ongoing as far as the agent knows.
func (s *simulation) produce(a *simAgent, t *Transaction, put func(...metastore.Draft)) {
	if s.rnd.IntN(4) == 0 && len(t.Groups) > 0 {
		put(metastore.Draft{Journal: simG, Effects: group.AppendPending(nil, group.Pending{Producer: t.ProducerID, Transaction: t.Number, AnyMembers: true,
			Commit: group.Commit{Group: "g", Offsets: []group.PlacedOffset{{Place: group.Place{Topic: 1}}}}})})
		return
	}
	p := shard.PartitionID{Topic: 1, Index: s.rnd.Int32N(simPartitions)}
	if t.Number == 0 || !t.Has(p.Topic, p.Index) && s.sabotage != produceUnadded {
		return
	}
	i := int(p.Index) % simShards
	known := a.shards[i].Producer(p, t.ProducerID)
	a.segment++
	b := shard.FlushBatch{Partition: p, Length: 1, Offsets: 1, ProducerID: t.ProducerID, Epoch: t.Epoch, Transaction: t.Number}
	if known.Known && known.Epoch == t.Epoch {
		b.BaseSequence = shard.NextSequence(known.Last)
	}
	put(metastore.Draft{Journal: metastore.ShardJournal(i), Effects: shard.AppendFlush(nil, a.segment, []shard.FlushBatch{b})})
}

// decide ends a transaction, with its markers in a strict append or without.
func (s *simulation) decide(a *simAgent, t *Transaction, put func(...metastore.Draft)) {
	x := Decided{ID: t.ID, ProducerID: t.ProducerID, Epoch: t.Epoch, Number: t.Number, Ongoing: true, Commit: s.rnd.IntN(2) == 0, Version2: t.Version2,
		Next: t.Identity, MarkerEpoch: t.Epoch}
	if t.Version2 || !x.Commit && s.rnd.IntN(2) == 0 {
		x.Next.PreviousEpoch, x.Next.PreviousProducerID, x.Next.Epoch = t.Epoch, t.ProducerID, t.Epoch+1
		if s.rnd.IntN(5) == 0 { // as if its epochs were used up
			x.Next.ProducerID, x.Next.Epoch = s.nextID, 0
			s.nextID++
		}
	}
	if s.rnd.IntN(2) == 0 {
		put(metastore.Draft{Journal: simT, Effects: AppendDecided(nil, x)})
		return
	}
	x.Complete, x.Partitions, x.Groups = true, t.Partitions(), len(t.Groups)
	drafts := []metastore.Draft{{Journal: simT, Effects: AppendDecided(nil, x), Strict: s.sabotage != decideUnstrict, Expect: a.folds[simT].Version()}}
	put(append(drafts, s.ends(t, Ending{t.ProducerID, t.Epoch, x.Commit}, s.sabotage == forgetGroup)...)...)
}

// ends are the markers and the group's end of a transaction.
func (s *simulation) ends(t *Transaction, ending Ending, noGroup bool) []metastore.Draft {
	var drafts []metastore.Draft
	for _, m := range t.Markers(ending, 1, 1, simShards) {
		drafts = append(drafts, metastore.Draft{Journal: metastore.ShardJournal(m.Shard), Effects: shard.AppendMarker(nil, m.Marker)})
	}
	if len(t.Groups) > 0 && !noGroup {
		drafts = append(drafts, metastore.Draft{Journal: simG, Effects: group.AppendEnded(nil, group.Ended{Producer: ending.ProducerID, Transaction: t.Number, Commit: ending.Commit})})
	}
	return drafts
}

// resume appends what a decided transaction lacks, one at a time, or completes it.
func (s *simulation) resume(a *simAgent, t *Transaction, put func(...metastore.Draft)) {
	ending := t.Ending()
	if s.sabotage == guessedResult {
		ending.Commit = s.rnd.IntN(2) == 0
	}
	known := s.rnd.IntN(3) > 0
	for _, topic := range t.Topics {
		for _, p := range topic.Partitions {
			state := a.shards[int(p)%simShards].Transactions(shard.PartitionID{Topic: topic.Number, Index: p}, ending.ProducerID)
			known = known && state.Ended >= t.Number
		}
	}
	known = known && (len(t.Groups) == 0 || a.groups.EndedTransaction(ending.ProducerID) >= t.Number)
	if known || s.sabotage == completeUnknown {
		put(metastore.Draft{Journal: simT, Effects: AppendCompleted(nil, Completion{t.ID, t.Number})})
	} else if drafts := s.ends(t, ending, false); len(drafts) > 0 {
		put(drafts[s.rnd.IntN(len(drafts))])
	}
}

var errUnfinished = errors.New("a transaction hangs")

// run takes some steps, then lets all land and everything be ended, and looks at what is left.
func (s *simulation) run(steps int) error {
	for range steps {
		a := s.agents[s.rnd.IntN(simAgents)]
		switch n := s.rnd.IntN(6); {
		case n < 3:
			j := []metastore.JournalID{simT, simT, simG, metastore.ShardJournal(0), metastore.ShardJournal(1)}[s.rnd.IntN(5)]
			s.catchUp(a, j, 1+s.rnd.IntN(6))
		case a.inFlight == nil:
			s.act(a)
		case s.rnd.IntN(2) == 0:
			drafts := a.inFlight
			a.inFlight = nil
			s.append(a, drafts)
		}
		if s.err != nil {
			return s.err
		}
	}
	for _, a := range s.agents {
		if a.inFlight != nil {
			s.append(a, a.inFlight)
		}
	}
	truth := s.truth()
	for range 10_000 {
		open := append(truth.ids.Ongoing(), truth.ids.Unfinished()...)
		if len(open) == 0 || s.err != nil {
			break
		}
		var next []metastore.Draft
		put := func(drafts ...metastore.Draft) { next = drafts }
		if t := open[0]; t.Status == Ongoing {
			s.decide(truth, t, put)
		} else {
			s.resume(truth, t, put)
		}
		s.append(truth, next)
	}
	if s.err != nil {
		return s.err
	}
	for i := range simShards {
		if n := truth.shards[i].Counts().Open; n > 0 {
			return fmt.Errorf("%w: %d in shard %d", errUnfinished, n, i)
		}
	}
	if _, pending := truth.groups.Transactional(); pending > 0 {
		return fmt.Errorf("%w: %d offsets are pending", errUnfinished, pending)
	}
	return nil
}

// TestTransactions_AllOrNothing: whatever lags, and however many take themselves for the coordinator, each
// transaction ends everywhere with the result that was decided, and none hangs.
func TestTransactions_AllOrNothing(t *testing.T) {
	decided := 0
	for seed := range uint64(400) {
		s := newSimulation(seed, honest)
		if err := s.run(600); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		decided += len(s.decided)
	}
	if t.Logf("%d transactions", decided); decided < 1500 {
		t.Error("the histories show too little")
	}
}

// TestTransactions_Sabotage: each rule that is left out is missed.
func TestTransactions_Sabotage(t *testing.T) {
	for broken, name := range map[sabotage]string{
		decideUnstrict: "decision without strict", produceUnadded: "batch before its partition is added", completeUnknown: "completion before the markers",
		forgetGroup: "group left out", guessedResult: "markers before the decision",
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				if err := newSimulation(seed, broken).run(600); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("nothing is wrong")
		})
	}
}
