package ingest

import (
	"context"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// hold keeps a producer's batches in one partition that can't be decided: the
// first is a gap, whose predecessor another agent may hold (GUARDS 7).
type hold struct {
	key    producerKey
	items  []*item
	since  time.Time   // when the first of items became a gap
	fence  shard.Fence // as sent last
	fenced bool        // a fence was folded since the first item was judged last
}

// decide places a batch into the round, answers it, or has it wait (GUARDS 3–7).
func (c *committer) decide(ctx context.Context, it *item) {
	r := c.replica(it)
	if r == nil || r.Err() != nil {
		c.refuse(it)
		return
	}
	if !it.idempotent() {
		if c.open(ctx, it, r) {
			c.placed = append(c.placed, it)
		} else {
			c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrPartitionClosed})
		}
		return
	}
	key := producerKey{it.Partition, it.Header.ProducerID}
	if h := c.holds[key]; h != nil {
		// It may be what the held ones wait for.
		if _, ok := c.round[key]; ok || !c.judge(ctx, key, it, r) {
			c.insert(h, it)
		}
		return
	}
	if it.Transaction != shard.NoTransaction && it.sub.isGone() {
		// Nobody waits for it. Its client may abort under the epoch that it keeps (version 1), and
		// begin the next transaction with the same sequences (GUARDS, what no guard helps against).
		c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrUnknown})
		return
	}
	now := c.in.cfg.Clock()
	if now.Sub(it.at) > c.in.cfg.WaitMax {
		// Older than a producer's expiry is counted on: its connection closes (GUARDS 13).
		c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrUnknown})
		return
	}
	if p, ok := c.round[key]; ok {
		if !p.blocked && shard.Accept(p.ProducerState, it.Header.ProducerEpoch, it.first) {
			c.place(key, it)
			return
		}
		// Only the speculative state could answer it: wait for the own append (GUARDS 4).
		p.blocked = true
		c.round[key] = p
		c.again = append(c.again, it)
		return
	}
	if !c.judge(ctx, key, it, r) {
		h := &hold{key: key, items: []*item{it}, since: now}
		c.holds[key] = h
		c.held = append(c.held, h)
		c.in.held.Add(1)
		c.in.Stats.Held.Add(1)
	}
}

// judge places or answers a batch by the folded state. It returns false for a gap.
func (c *committer) judge(ctx context.Context, key producerKey, it *item, r *metastore.Replica) bool {
	res := Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1}
	var j shard.Judgement
	metastore.View(r, func(s *shard.State) {
		j = s.Judge(it.Partition, it.Header.ProducerID, it.Header.ProducerEpoch, it.first, it.last, it.Transaction)
		res.LogStart, _, _, _ = s.Bounds(it.Partition)
	})
	switch j.Verdict {
	case shard.Accepted:
		c.place(key, it)
		return true
	case shard.Gap:
		return false
	case shard.PartitionClosed:
		if c.open(ctx, it, r) {
			return c.judge(ctx, key, it, r)
		}
		res.LogStart, res.Err = -1, ErrPartitionClosed
	case shard.Duplicate:
		c.in.Stats.Duplicates.Add(1)
		res.BaseOffset = j.BaseOffset
		// As Kafka: the stored batch's max timestamp, even where it is the producer's.
		if res.LogAppendTime = j.Timestamp; j.Timestamp < 0 && !it.Header.LogAppendTime() {
			res.LogAppendTime = it.Header.MaxTimestamp // the retry's is that of its first try
		}
	case shard.StaleEpoch:
		res.Err = ErrStaleEpoch
	case shard.Behind:
		c.in.Stats.Duplicates.Add(1)
		res.Err = ErrDuplicate
	case shard.Closed:
		res.Err = ErrOutOfOrder
	case shard.TransactionEnded:
		res.Err = ErrTransactionEnded
	case shard.TransactionOpen:
		// It may have ended in another agent's append just now.
		if c.refreshOnce(ctx, it, r) {
			return c.judge(ctx, key, it, r)
		}
		res.Err = ErrTransactionOpen
	}
	c.answer(it, res)
	return true
}

// place puts a batch into the round.
func (c *committer) place(key producerKey, it *item) {
	c.placed = append(c.placed, it)
	c.round[key] = producing{ProducerState: shard.ProducerState{Known: true, Epoch: it.Header.ProducerEpoch, Last: it.last}}
}

// open tells whether the batch's partition is open. One that is unknown may have
// been opened by another agent just now, so its shard is read once.
func (c *committer) open(ctx context.Context, it *item, r *metastore.Replica) bool {
	for {
		var open bool
		metastore.View(r, func(s *shard.State) { _, _, _, open = s.Bounds(it.Partition) })
		if open || !c.refreshOnce(ctx, it, r) {
			return open
		}
	}
}

// refreshOnce brings the batch's shard up to date; false if it had been done already.
func (c *committer) refreshOnce(ctx context.Context, it *item, r *metastore.Replica) bool {
	if it.refreshed {
		return false
	}
	it.refreshed = true
	if err := c.in.deps.Shards.Refresh(ctx, r.ID()); err != nil {
		c.in.cfg.Log.Warn("reading a shard for a batch that it would refuse", "journal", r.ID(), "err", err)
	}
	return true
}

// decideHolds looks at each gap again: it may have closed, its connection may have
// gone, or its time is up and it is fenced.
func (c *committer) decideHolds(ctx context.Context) {
	for _, h := range c.held {
		for len(h.items) > 0 && c.size() < c.in.cfg.BatchesMax {
			it := h.items[0]
			r := c.replica(it)
			if r.Err() != nil {
				c.drop(h)
				c.refuse(it)
				continue
			}
			if it.sub.isGone() || c.in.cfg.Clock().Sub(it.at) > c.in.cfg.WaitMax {
				c.drop(h)
				c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrUnknown})
				continue
			}
			if p, ok := c.round[h.key]; ok {
				// An earlier one of this hold is in the round.
				if !shard.Accept(p.ProducerState, it.Header.ProducerEpoch, it.first) {
					break
				}
				c.drop(h)
				c.place(h.key, it)
				continue
			}
			if !c.judge(ctx, h.key, it, r) {
				c.fenceWhenDue(h, it, r)
				break
			}
			c.drop(h)
		}
	}
	c.held = slices.DeleteFunc(c.held, func(h *hold) bool {
		if len(h.items) == 0 {
			delete(c.holds, h.key)
		}
		return len(h.items) == 0
	})
}

// insert puts a batch among a hold's by its epoch and sequence, behind those that it doesn't precede.
func (c *committer) insert(h *hold, it *item) {
	i := len(h.items)
	for i > 0 && it.precedes(h.items[i-1]) {
		i--
	}
	h.items = slices.Insert(h.items, i, it)
	c.in.held.Add(1)
}

// precedes compares epochs, then sequences on their circle of 2³¹.
func (it *item) precedes(other *item) bool {
	if it.Header.ProducerEpoch != other.Header.ProducerEpoch {
		return it.Header.ProducerEpoch < other.Header.ProducerEpoch
	}
	distance := uint32(it.first-other.first) & (1<<31 - 1)
	return distance >= 1<<30
}

// drop removes the first batch of a hold; the next one's time starts anew.
func (c *committer) drop(h *hold) {
	h.items = h.items[1:]
	h.since = c.in.cfg.Clock()
	c.in.held.Add(-1)
}

// fenceWhenDue adds a fence to the round once a gap was held for its time. After
// it is folded the batch is judged again: closed, or by what made the fence void.
func (c *committer) fenceWhenDue(h *hold, it *item, r *metastore.Replica) {
	if c.in.cfg.Clock().Sub(h.since) < c.in.cfg.HoldMax || c.size() >= c.in.cfg.BatchesMax {
		return // Not due, or there is no room in the entry: it is in a later one.
	}
	f := shard.Fence{Partition: it.Partition, Producer: it.Header.ProducerID, Epoch: it.Header.ProducerEpoch}
	metastore.View(r, func(s *shard.State) {
		state := s.Producer(it.Partition, it.Header.ProducerID)
		f.Expect = shard.Expect(state)
	})
	h.fence = f
	c.in.Stats.Fences.Add(1)
	c.fences = append(c.fences, h)
}

// nextHold returns how long until a gap's time is up.
func (c *committer) nextHold() (time.Duration, bool) {
	if len(c.holds) == 0 {
		return 0, false
	}
	now := c.in.cfg.Clock()
	wait := c.in.cfg.HoldMax
	for _, h := range c.held {
		if h.fenced {
			h.fenced = false
			return 0, true // Judge it on what the fence came to.
		}
		wait = min(wait, h.since.Add(c.in.cfg.HoldMax).Sub(now))
	}
	return max(wait, 0), true
}
