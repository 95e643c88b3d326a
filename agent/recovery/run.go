package recovery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// lease is of the term that recovers; renewed three times in its length.
const lease = time.Minute

// markersMax is how many offsets a lost entry of which nothing is known may have
// taken in a partition without a batch: the markers of transactions.
const markersMax = 64

// Plan tells what was lost, and what Run would do. It changes nothing.
func Plan(ctx context.Context, store Store, b Bucket) ([]Loss, error) {
	return recoverAll(ctx, store, b, nil)
}

// Run recovers every journal that is marked, and returns what it did. After an
// error those that were not done are still marked: run it again.
func Run(ctx context.Context, store Store, b Bucket) (losses []Loss, err error) {
	info, err := store.BeginTerm(ctx, metastore.AgentInfo{Process: "metastore recover", Level: metastore.FeatureLevel}, lease)
	if err != nil {
		return nil, fmt.Errorf("begin a term: %w", err)
	}
	renewing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
				_ = store.RenewTerm(renewing, info.Term, lease, 0) // an append tells if the term is lost
			}
		}
	}()
	defer func() {
		stop()
		<-done
		_, endErr := store.EndTerm(context.WithoutCancel(ctx), info.Term, true)
		err = errors.Join(err, endErr)
	}()
	return recoverAll(ctx, store, b, &info.Term)
}

// recoverAll goes through the marked journals; a nil term changes nothing.
func recoverAll(ctx context.Context, store Store, b Bucket, term *metastore.Term) ([]Loss, error) {
	lost, err := store.LostTails(ctx)
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	if term != nil {
		if err := checkLevels(ctx, store); err != nil {
			return nil, err
		}
	}
	all, err := readTerms(ctx, b, lost)
	if err != nil {
		return nil, err
	}
	var losses []Loss
	for _, l := range lost {
		if term != nil {
			if err := store.RecoverTail(ctx, *term, l.Journal); err != nil {
				return losses, err
			}
		}
		w := &work{ctx: ctx, store: store, term: term, loss: Loss{LostTail: l}, own: 0}
		if err := w.recover(b, all); err != nil {
			return losses, fmt.Errorf("recover %v: %w", l.Journal, err)
		}
		losses = append(losses, w.loss)
		if term != nil {
			// Whole again, as far as can be: agents that start from here on serve it.
			if err := store.TailRecovered(ctx, *term, l.Journal); err != nil {
				return losses, err
			}
		}
	}
	return losses, nil
}

// checkLevels refuses a recovery while an agent lives that could not read its jumps.
func checkLevels(ctx context.Context, store Store) error {
	infos, err := store.Terms(ctx)
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	for _, info := range infos {
		if !info.Ended && info.LeaseLeft > 0 && info.Agent.Level < metastore.LevelOf(metastore.EffectJump) {
			return fmt.Errorf("the agent of node %d is of an older release, which can't read what a recovery writes: stop it first", info.Node)
		}
	}
	return nil
}

// work is the recovery of one journal. Without a term it goes on in memory only.
type work struct {
	ctx   context.Context
	store Store
	term  *metastore.Term
	own   uint64 // the number of the recovery's own last entry in the journal
	r     *replica
	head  metastore.Version
	loss  Loss
}

func (w *work) recover(b Bucket, all footers) error {
	known, newest := all.fates(w.loss.Journal, w.loss.Head)
	w.loss.Newest = max(newest, w.loss.Seen)
	sh, isShard := w.loss.Journal.Shard()
	if !isShard {
		return w.other(all)
	}
	var err error
	if w.r, err = load(w.ctx, w.store, b, w.loss.Journal); err != nil {
		return err
	}
	w.head = w.r.fold.Version()
	missing, err := w.r.missing(w.ctx, b, all, sh)
	if err != nil {
		return err
	}
	for _, s := range missing {
		w.loss.Segments = append(w.loss.Segments, s.footer.ID)
	}
	placed := map[*lostSegment]bool{}
	for _, s := range w.r.certain(known, missing) {
		if err := w.putBack(s); err != nil {
			return err
		}
		placed[s.segment] = true
	}
	rest := slices.DeleteFunc(missing, func(s *lostSegment) bool { return placed[s] })
	if len(rest) > 0 || w.head < w.loss.Newest {
		if err := w.behind(rest); err != nil {
			return err
		}
	}
	return w.fill()
}

// putBack appends an entry with the term and number that it had.
func (w *work) putBack(s step) error {
	var effects []byte
	time := int64(0)
	if s.segment != nil {
		time = s.segment.footer.Written
		effects = flushOf(s.segment.footer.ID, s.segment.batches)
	}
	outcomes, err := w.append(s.term, time, effects)
	if err != nil || s.segment == nil {
		return err
	}
	for i, became := range outcomes[0].([]shard.BatchOutcome) {
		if became.Stood {
			w.loss.InPlace.add(s.segment.batches[i])
		} else {
			w.loss.Refused.add(s.segment.batches[i])
		}
	}
	return nil
}

// behind jumps the offsets past all that can have been lost, and appends the rest. A
// batch whose producer's earlier one comes later is tried again, as long as any stands.
func (w *work) behind(rest []*lostSegment) error {
	sums := map[shard.PartitionID]int64{}
	inOrder(rest)
	for _, s := range rest {
		for _, b := range s.batches {
			if b.Partition.Topic > 0 {
				sums[b.Partition] += int64(b.Offsets)
			}
		}
	}
	unknown := int64(0)
	if w.loss.Newest > w.head {
		unknown = markersMax * int64(w.loss.Newest-w.head)
	}
	var effects []byte
	for _, p := range w.r.state.Partitions() {
		_, high, stable, _ := w.r.state.Bounds(p)
		if sums[p] == 0 && stable == high {
			continue
		}
		to := high + sums[p] + unknown
		w.loss.Jumps = append(w.loss.Jumps, Jump{p, high, to})
		for at := high; at < to; {
			at = min(to, at+math.MaxInt32)
			effects = shard.AppendJump(effects, p, at)
		}
		if len(effects) > metastore.EntryBytesMax/2 {
			if _, err := w.append(w.recovery(), 0, effects); err != nil {
				return err
			}
			effects = nil
		}
	}
	if effects != nil {
		if _, err := w.append(w.recovery(), 0, effects); err != nil {
			return err
		}
	}
	return w.appendRest(rest)
}

func (w *work) appendRest(rest []*lostSegment) error {
	for stood := true; stood; {
		stood = false
		for _, s := range rest {
			var fit []*found
			for _, b := range s.batches {
				if b.fit {
					fit = append(fit, b)
				}
			}
			if len(fit) == 0 {
				continue
			}
			outcomes, err := w.append(metastore.Term(s.footer.ID.Term), s.footer.Written, flushOf(s.footer.ID, fit))
			if err != nil {
				return err
			}
			for i, became := range outcomes[0].([]shard.BatchOutcome) {
				if became.Stood {
					stood = true
					w.loss.Behind.add(fit[i])
					s.batches = slices.DeleteFunc(s.batches, func(b *found) bool { return b == fit[i] })
				}
			}
		}
	}
	for _, s := range rest {
		for _, b := range s.batches {
			if b.fit {
				w.loss.Refused.add(b)
			} else {
				w.loss.Left.add(b)
			}
		}
	}
	return nil
}

func flushOf(id segment.ID, batches []*found) []byte {
	flush := make([]shard.FlushBatch, len(batches))
	for i, b := range batches {
		flush[i] = b.FlushBatch
	}
	return shard.AppendFlush(nil, id.Number, flush)
}

// recovery is the term that the recovery's own entries carry.
func (w *work) recovery() metastore.Term {
	if w.term == nil {
		return math.MaxInt64 // in memory only
	}
	return *w.term
}

// append adds an entry to the journal and the replica.
func (w *work) append(t metastore.Term, time int64, effects []byte) ([]any, error) {
	payload := metastore.AppendHeader(nil, metastore.Header{Term: t, Number: w.r.fold.Number(t) + 1, Time: time})
	payload = append(payload, effects...)
	if err := w.send(payload); err != nil {
		return nil, err
	}
	var outcomes []any
	res, err := w.r.fold.Apply(w.head, payload, func(metastore.Header) bool { return true })
	outcomes = res.Outcomes
	return outcomes, err
}

// send adds an entry's bytes to the journal, if anything is to be changed.
func (w *work) send(payload []byte) error {
	w.head++
	if w.term == nil {
		return nil
	}
	versions, err := w.store.Append(w.ctx, *w.term, []metastore.AppendPart{{Journal: w.loss.Journal, Payload: payload}})
	if err != nil {
		return err
	}
	if versions[0] != w.head {
		return fmt.Errorf("it is at version %d and not at %d: another recovery is at work, run this one again", versions[0], w.head)
	}
	return nil
}

// fill appends entries without effects up to the newest version that was seen, so that no
// later comparison with the bucket takes the journal for one that lost its tail again.
func (w *work) fill() error {
	for w.head < w.loss.Newest {
		if _, err := w.append(w.recovery(), 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// producersSpare is how many producer ids are passed over in a catalog that lost its
// tail, beyond those in the segments: they may be in clients' hands.
const producersSpare = 1_000_000

// other recovers a journal of another kind: it goes on as of what is there. A catalog
// passes over the producer ids that it may have given out.
func (w *work) other(all footers) error {
	tails, err := w.store.Read(w.ctx, []metastore.Position{{Journal: w.loss.Journal, After: w.loss.Newest}}, 1)
	if err != nil {
		return err
	}
	w.head = tails[0].Head
	var effects []byte
	if w.loss.Journal == metastore.CatalogJournal {
		effects = catalog.AppendProducerIDs(nil, producersSpare)
	}
	for w.head < w.loss.Newest || effects != nil {
		w.own++
		payload := metastore.AppendHeader(nil, metastore.Header{Term: w.recovery(), Number: w.own})
		if err := w.send(append(payload, effects...)); err != nil {
			return err
		}
		effects = nil
	}
	return nil
}
