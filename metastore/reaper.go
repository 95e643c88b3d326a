package metastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Terms is what a Reaper needs of a Store.
type Terms interface {
	EndTerm(ctx context.Context, term Term, force bool) (bool, error)
	Terms(ctx context.Context, ended ...Term) ([]TermInfo, error)
	PruneTerms(ctx context.Context, age time.Duration, keep []Term, rowsMax int) (int, error)
}

// Rows of terms that ended long ago tell nobody anything: a term without a row is taken for
// one that has ended, by the metastore and by whoever lists terms.
const (
	termsKeptFor = 7 * 24 * time.Hour
	pruneEvery   = time.Hour
	pruneRowsMax = 1000 // terms pruned by one statement
)

// Reaper ends the terms whose lease has expired, and then lets the followed
// journals forget their numbers (GUARDS 12): the end is committed first, the
// entries that tell it come after.
type Reaper struct {
	store    Terms
	follower *Follower
	writer   *Writer
	every    time.Duration
	log      *slog.Logger
	pruned   time.Time    // the last try; owned by Reap's caller
	waited   map[Term]int // times that a term that has ended was found in a journal; owned by Reap's caller
	// Turn says how many agents look after a journal before this one: it is told of ended
	// terms by this one only if they have left it undone so many times; nil: none. Set it before Run.
	Turn func(JournalID) int
}

// NewReaper returns a Reaper that looks each interval.
func NewReaper(store Terms, follower *Follower, writer *Writer, every time.Duration, log *slog.Logger) *Reaper {
	return &Reaper{store: store, follower: follower, writer: writer, every: every, log: log, pruned: follower.cfg.Clock(), waited: map[Term]int{}}
}

// Run reaps until ctx ends.
func (p *Reaper) Run(ctx context.Context) error {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.Reap(ctx); err != nil && ctx.Err() == nil {
			p.log.Log(ctx, TroubleLevel(err), "dead terms could not be ended", "err", err)
		}
	}
}

// Reap looks once.
func (p *Reaper) Reap(ctx context.Context) error {
	var known []Term // with a number in some journal
	for _, r := range p.follower.Replicas() {
		known = append(known, r.Terms()...)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	infos, err := p.store.Terms(ctx, known...)
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	dead := map[Term]bool{}
	for _, t := range known {
		dead[t] = true // One that the metastore no longer knows ended long ago.
	}
	for _, info := range infos {
		dead[info.Term] = info.Ended
		if info.Ended || info.Term == p.writer.Term() || info.LeaseLeft > 0 {
			continue
		}
		ended, err := p.store.EndTerm(ctx, info.Term, false)
		if err != nil {
			return fmt.Errorf("end term %d: %w", info.Term, err)
		}
		if ended {
			dead[info.Term] = true
			p.log.Info("a term has ended", "term", info.Term, "node", info.Node, "lease_left", info.LeaseLeft)
		}
	}
	delete(dead, p.writer.Term())
	if err := p.tell(ctx, dead); err != nil {
		return err
	}
	return p.prune(ctx, known)
}

func (p *Reaper) turn(j JournalID) int {
	if p.Turn == nil {
		return 0
	}
	return min(p.Turn(j), turnsMax)
}

// prune deletes, each hour, the rows of terms that ended long ago. Those of which a replica
// here has a number are kept: its journal was not told of their end, so something is slow.
// Others may have journals that aren't followed here; they lose nothing by it.
func (p *Reaper) prune(ctx context.Context, known []Term) error {
	now := p.follower.cfg.Clock()
	if now.Sub(p.pruned) < pruneEvery || p.turn(CatalogJournal) > 0 {
		return nil
	}
	p.pruned = now
	n, err := p.store.PruneTerms(ctx, termsKeptFor, known, pruneRowsMax)
	if err != nil {
		return fmt.Errorf("prune the terms that ended long ago: %w", err)
	}
	if n > 0 {
		p.log.Info("rows of ended terms are pruned", "terms", n)
	}
	return nil
}

// tell appends to each journal that this agent serves the ends of the dead terms that have a number there.
func (p *Reaper) tell(ctx context.Context, dead map[Term]bool) error {
	waited := map[Term]int{}
	defer func() { p.waited = waited }()
	var drafts []Draft
	for _, r := range p.follower.Replicas() {
		if r.Err() != nil {
			continue
		}
		d := Draft{Journal: r.ID()}
		for _, t := range r.Terms() {
			if !dead[t] {
				continue
			}
			waited[t] = p.waited[t] + 1
			if p.turn(r.ID()) < waited[t] {
				d.Effects = AppendTermEnded(d.Effects, t)
			}
		}
		if d.Effects != nil {
			drafts = append(drafts, d)
		}
	}
	if len(drafts) == 0 {
		return nil
	}
	if _, err := p.writer.Append(ctx, drafts); err != nil && !errors.Is(err, ErrTermEnded) {
		return fmt.Errorf("tell the journals of ended terms: %w", err)
	}
	return nil
}
