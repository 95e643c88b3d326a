package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// committer appends uploaded batches to the journals, each partition's in flush order, one append
// in flight; what has been uploaded meanwhile goes into the next one. It decides
// each batch by GUARDS.md on the folded state and its own round, and answers only
// from what is folded. All fields belong to the goroutine of run.
type committer struct {
	in      *Ingest
	waiting []*flush                  // taken from the channel, in flush order
	begun   []*flush                  // taken, in flush order; the first has unanswered batches
	again   []*item                   // to be decided anew, before anything later
	void    []*item                   // of the round at hand: appended, and did not stand
	holds   map[producerKey]*hold     // gaps, and what waits behind them
	held    []*hold                   // the same in the order they began
	placed  []*item                   // of the round at hand
	fences  []*hold                   // of the round at hand
	round   map[producerKey]producing // what the round at hand does to producers
	ended   []*Submission             // answered, and not woken
	freed   int64                     // bytes of the batches answered since the last wake
}

// producerKey names a producer's state in a partition.
type producerKey struct {
	partition shard.PartitionID
	producer  int64
}

// producing is the state of a producer after the batches placed in this round.
type producing struct {
	shard.ProducerState
	blocked bool // a later batch waits for the round's outcome, and so do those after it
}

func newCommitter(in *Ingest) *committer {
	return &committer{in: in, holds: map[producerKey]*hold{}, round: map[producerKey]producing{}}
}

// run commits until ctx ends or the term does.
func (c *committer) run(ctx context.Context) error {
	for {
		if err := c.await(ctx); err != nil {
			return err
		}
		if err := c.commit(ctx); err != nil {
			return err
		}
	}
}

// await returns once there may be something to decide: a flush whose turn it is has been
// uploaded, batches wait to be decided anew, or a gap may have closed or timed out.
func (c *committer) await(ctx context.Context) error {
	for {
		c.takeFlushes()
		if len(c.again) > 0 || c.isAnyDue() {
			return nil
		}
		uploaded := c.in.uploaded
		if len(c.waiting) > c.in.cfg.UploadsMax {
			uploaded = nil
		}
		var timeout <-chan time.Time
		var timer *time.Timer
		if d, ok := c.nextHold(); ok {
			timer = time.NewTimer(d)
			timeout = timer.C
		}
		stop := func() {
			if timer != nil {
				timer.Stop()
			}
		}
		select {
		case <-ctx.Done():
			stop()
			return ctx.Err()
		case f := <-uploaded:
			c.take(f)
			stop()
		case <-c.in.landed:
			stop()
		case <-c.in.grew:
			stop()
			return nil
		case <-timeout:
			return nil
		}
	}
}

// takeFlushes takes the flushes that have begun, without waiting.
func (c *committer) takeFlushes() {
	for len(c.waiting) <= c.in.cfg.UploadsMax {
		select {
		case f := <-c.in.uploaded:
			c.take(f)
		default:
			return
		}
	}
}

func (c *committer) take(f *flush) {
	f.left = len(f.items)
	c.waiting, c.begun = append(c.waiting, f), append(c.begun, f)
}

// isAnyDue tells whether there is a flush to be decided: uploaded, and with no partition of
// an earlier one that isn't.
func (c *committer) isAnyDue() bool {
	var before touched
	for _, f := range c.waiting {
		if f.isDone() && !f.partitions.meets(&before) {
			return true
		}
		before.join(&f.partitions)
	}
	return false
}

// commit decides what is there, appends what can stand, and answers.
func (c *committer) commit(ctx context.Context) error {
	defer c.wake()
	clear(c.round)
	c.placed, c.fences = c.placed[:0], c.fences[:0]
	again := c.again
	c.again = nil
	for _, it := range again {
		c.decide(ctx, it)
	}
	c.decideHolds(ctx)
	// A flush may overtake those before it that are still on their way, but for what they hold of
	// a partition: an idempotent producer's sequence is the partition's, and so is a connection's order.
	var before touched
	var full bool
	left := c.waiting[:0]
	for _, f := range c.waiting {
		n := c.size()
		full = full || n > 0 && n+len(f.items) > c.in.cfg.BatchesMax
		if full || !f.isDone() || f.partitions.meets(&before) {
			before.join(&f.partitions)
			left = append(left, f)
			continue
		}
		now := c.in.cfg.Clock()
		for _, it := range f.items {
			it.stored = now
			if f.err != nil {
				c.refuse(it)
				continue
			}
			c.decide(ctx, it)
		}
	}
	clear(c.waiting[len(left):])
	c.waiting = left
	c.wake() // What was refused doesn't wait for the append.
	return c.append(ctx)
}

// size is how many batches and fences the round has, and those that its outcome may add to the next: a
// fence takes no more of an entry than a batch.
func (c *committer) size() int { return len(c.placed) + len(c.again) + len(c.fences) }

// refuse answers a batch whose segment could not be uploaded: nothing of it can
// ever be appended. An idempotent producer's order ends with its connection (GUARDS 9).
func (c *committer) refuse(it *item) {
	err := ErrStorage
	if it.idempotent() {
		err = ErrUnknown
	}
	c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: err})
}

// answer answers a batch for good: it stands, or is never appended from here on.
func (c *committer) answer(it *item, r Result) {
	if !it.stored.IsZero() {
		c.in.observe(StageCommit, c.in.cfg.Clock().Sub(it.stored))
	}
	if !it.answered {
		if s := c.in.settle(it, r); s != nil {
			c.ended = append(c.ended, s)
		}
		c.freed += it.size
	}
	it.flush.left--
	for len(c.begun) > 0 && c.begun[0].left == 0 {
		c.in.settled.Store(c.begun[0].id.Number)
		c.begun[0], c.begun = nil, c.begun[1:]
	}
}

// wake wakes the waiters of what was answered. It comes after all of a round are: who is woken
// finds the answers that follow on its connection, and sends them in the same write.
func (c *committer) wake() {
	for _, s := range c.ended {
		s.wake()
	}
	clear(c.ended)
	c.ended = c.ended[:0]
	if c.freed > 0 {
		c.in.giveBack(c.freed)
		c.freed = 0
	}
}

// append sends the round's batches and fences as one append and answers by what they came to.
func (c *committer) append(ctx context.Context) error {
	if len(c.placed) == 0 && len(c.fences) == 0 {
		return nil
	}
	// Batches of an older segment come first: a producer's order over flushes is kept.
	slices.SortStableFunc(c.placed, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.flush.id.Number, b.flush.id.Number),
			cmp.Compare(a.position, b.position))
	})
	slices.SortStableFunc(c.fences, func(a, b *hold) int { return cmp.Compare(a.items[0].Shard, b.items[0].Shard) })
	drafts, shares := c.draft()
	c.in.Stats.Appends.Add(1)
	span := c.traceAppend(len(drafts))
	landed, err := c.in.deps.Writer.Append(ctx, drafts)
	// Landed: durable and ordered. If we die here, a retry from the client finds its batch in the window.
	if err != nil {
		c.traceAppended(span, err)
		return fmt.Errorf("append to the journals: %w", err)
	}
	c.void = c.void[:0]
	// Before anyone is answered: the flush of what a client sends next tells of it.
	c.note(drafts, landed.Parts)
	for i, res := range landed.Parts {
		if err := c.settle(shares[i], res.Outcomes); err != nil {
			return err
		}
	}
	c.wake()
	c.traceAppended(span, nil)
	c.decideVoidAgain()
	return nil
}

// note keeps the versions that drafts landed at for the next segment.
func (c *committer) note(drafts []metastore.Draft, landed []metastore.Result) {
	c.in.fates.Lock()
	defer c.in.fates.Unlock()
	for i, p := range landed {
		c.in.fates.list = append(c.in.fates.list, segment.Fate{Journal: uint32(drafts[i].Journal), Number: p.Number, Version: uint64(p.Version)})
	}
}

// share is what one draft holds: batches by flush effect, then fences.
type share struct {
	shard   int
	flushes [][]*item
	fences  []*hold
}

// draft codes the round: per shard a flush effect for each segment, then the fences.
func (c *committer) draft() ([]metastore.Draft, []share) {
	var shares []share
	of := func(sh int) *share {
		if n := len(shares); n > 0 && shares[n-1].shard == sh {
			return &shares[n-1]
		}
		i, ok := slices.BinarySearchFunc(shares, sh, func(s share, sh int) int { return cmp.Compare(s.shard, sh) })
		if !ok {
			shares = slices.Insert(shares, i, share{shard: sh})
		}
		return &shares[i]
	}
	for from := 0; from < len(c.placed); {
		to, first := from, c.placed[from]
		for to < len(c.placed) && c.placed[to].Shard == first.Shard && c.placed[to].flush == first.flush {
			to++
		}
		s := of(first.Shard)
		s.flushes = append(s.flushes, c.placed[from:to:to])
		from = to
	}
	for _, h := range c.fences {
		s := of(h.items[0].Shard)
		s.fences = append(s.fences, h)
	}
	drafts := make([]metastore.Draft, len(shares))
	var batches []shard.FlushBatch
	for i, s := range shares {
		drafts[i].Journal = metastore.ShardJournal(s.shard)
		for _, items := range s.flushes {
			batches = batches[:0]
			for _, it := range items {
				batches = append(batches, it.flushBatch())
			}
			drafts[i].Effects = shard.AppendFlush(drafts[i].Effects, items[0].flush.id.Number, batches)
		}
		for _, h := range s.fences {
			drafts[i].Effects = shard.AppendFence(drafts[i].Effects, h.fence)
		}
	}
	return drafts, shares
}

func (it *item) flushBatch() shard.FlushBatch {
	h := &it.Header
	return shard.FlushBatch{
		Partition:     it.Partition,
		Position:      it.position,
		Length:        it.size,
		Offsets:       h.LastOffsetDelta + 1,
		MaxTimestamp:  h.MaxTimestamp,
		LogAppendTime: h.LogAppendTime(),
		ProducerID:    h.ProducerID,
		Epoch:         h.ProducerEpoch,
		BaseSequence:  h.BaseSequence,
		Transaction:   it.Transaction,
	}
}

// settle answers the batches that stood; void ones are decided again, in order,
// before anything later of their producers (GUARDS 5).
func (c *committer) settle(s share, outcomes []any) error {
	if len(outcomes) != len(s.flushes)+len(s.fences) {
		return fmt.Errorf("shard %d: %d outcomes for %d effects: a bug", s.shard, len(outcomes), len(s.flushes)+len(s.fences))
	}
	for i, items := range s.flushes {
		stood, ok := outcomes[i].([]shard.BatchOutcome)
		if !ok || len(stood) != len(items) {
			return errors.New("a flush effect's outcome is not of its batches: a bug")
		}
		for k, it := range items {
			if !stood[k].Stood {
				c.in.Stats.Voids.Add(1)
				c.void = append(c.void, it)
				continue
			}
			c.in.Stats.Batches.Add(1)
			c.in.Stats.Records.Add(int64(it.Header.Records))
			r := Result{BaseOffset: stood[k].BaseOffset, LogAppendTime: -1, LogStart: c.logStart(it)}
			if it.Header.LogAppendTime() {
				r.LogAppendTime = it.Header.MaxTimestamp
			}
			c.answer(it, r)
		}
	}
	for _, h := range s.fences {
		h.fenced = true
	}
	return nil
}

// decideVoidAgain puts the void batches before all that is later of their
// producers: what was put off in this round, and what is held.
func (c *committer) decideVoidAgain() {
	var again []*item
	for _, it := range slices.Backward(c.void) {
		if h := c.holds[producerKey{it.Partition, it.Header.ProducerID}]; h != nil && it.idempotent() {
			h.items = slices.Insert(h.items, 0, it)
			c.in.held.Add(1)
			continue
		}
		again = append(again, it)
	}
	slices.Reverse(again)
	c.again = append(again, c.again...)
}

func (c *committer) replica(it *item) *metastore.Replica {
	return c.in.deps.Shards.Replica(metastore.ShardJournal(it.Shard))
}

func (c *committer) logStart(it *item) int64 {
	start := int64(-1)
	metastore.View(c.replica(it), func(s *shard.State) { start, _, _, _ = s.Bounds(it.Partition) })
	return start
}

// unanswered returns what the committer still holds, when it has stopped.
func (c *committer) unanswered() []*item {
	var rest []*item
	rest = append(rest, c.again...)
	for _, h := range c.held {
		rest = append(rest, h.items...)
	}
	for _, f := range c.waiting {
		rest = append(rest, f.items...)
	}
	return append(rest, c.placed...)
}
