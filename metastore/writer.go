package metastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Appender is what a Writer needs of a Store.
type Appender interface {
	Append(ctx context.Context, term Term, parts []AppendPart) ([]Version, error)
	AppendRows(ctx context.Context, term Term, parts []AppendPart, rows Rows) ([]Version, error)
}

// ErrUnknown says that it can't be known here whether an append landed: the
// writer was closed, or the entry went by in a snapshot (I5). The term must end.
var ErrUnknown = errors.New("the outcome of the append is unknown")

// Draft is what a writer adds to one journal: effects, to which it adds the header.
type Draft struct {
	Journal JournalID
	Effects []byte // made by AppendEffect; together with the header at most EntryBytesMax
	Strict  bool   // only if the journal's head is Expect
	Expect  Version
	// Blind: after a *StrictLostError the replica may not have caught up yet. It does by a read
	// that is under way, so what is appended next need not wait for one.
	Blind bool
}

// HeaderBytesMax bounds the encoding of a Header, in bytes.
const HeaderBytesMax = 1 + 3*10

// Landed tells where the parts of an append stand and what their effects came to.
type Landed struct {
	Parts []Result // in the drafts' order
}

// Writer appends to journals for one term. It numbers the term's entries in each
// journal, keeps one append in flight a journal, sends an append again until its
// outcome is certain, and returns when this process's replicas have folded it.
type Writer struct {
	term     Term
	store    Appender
	follower *Follower
	clock    func() time.Time
	log      *slog.Logger
	retry    RetryConfig
	trouble  Trouble      // of appends
	Repeated atomic.Int64 // appends sent again, for metrics
	// Publish is told of each append that has landed: on which server, if the store is a
	// Mover, and the versions that its parts got. It must not block. Set it before the first
	// append; nil: nobody is told.
	Publish func(origin string, parts []AppendPart, versions []Version)
	// Level is the cluster's feature level: drafts beyond it are refused with ErrLevel. Set
	// it before the first append; nil: nothing is refused.
	Level func() int32
	mu    struct {
		sync.Mutex
		numbers map[JournalID]uint64
		busy    map[JournalID]bool
		queue   []*turn
		ended   error
	}
}

// RetryConfig paces the repeats of an append whose outcome is unknown.
type RetryConfig struct{ First, Max time.Duration }

// turn waits until none of its journals has an append in flight or an earlier waiter.
type turn struct {
	journals []JournalID
	ready    chan struct{}
}

// NewWriter returns the writer of a term that has appended nothing yet. Every
// journal that it will write must be followed.
// clock gives the database's time, which entries carry.
func NewWriter(term Term, store Appender, follower *Follower, clock func() time.Time) *Writer {
	w := &Writer{term: term, store: store, follower: follower, clock: clock, log: follower.cfg.Log,
		retry: RetryConfig{First: 10 * time.Millisecond, Max: time.Second}}
	w.trouble = Trouble{Log: w.log, Level: slog.LevelWarn, Begun: "appends to the metastore have unknown outcomes; they are sent again until that is known", Over: "appends to the metastore land again"}
	w.mu.numbers = map[JournalID]uint64{}
	w.mu.busy = map[JournalID]bool{}
	return w
}

// Term returns the writer's term.
func (w *Writer) Term() Term { return w.term }

// Append adds the drafts' entries, all or none, and returns once the replicas
// have folded them. ctx ends only the wait for a turn and, with ErrUnknown, the
// repeats; it must carry no deadline of its own.
//
// A *StrictLostError says that nothing was appended, and the journal's replica has
// caught up with the head that was found, unless the draft is Blind. ErrTermEnded and ErrUnknown end the writer.
// An error that wraps ErrStopped names a journal that takes nothing more.
func (w *Writer) Append(ctx context.Context, drafts []Draft) (*Landed, error) {
	return w.append(ctx, drafts, nil)
}

// AppendRows is Append that also changes rows of the tables. ErrRowsTaken says that
// nothing was appended, nor will be.
func (w *Writer) AppendRows(ctx context.Context, drafts []Draft, rows Rows) (*Landed, error) {
	return w.append(ctx, drafts, &rows)
}

func (w *Writer) append(ctx context.Context, drafts []Draft, rows *Rows) (*Landed, error) {
	if err := checkLevels(drafts, w.Level); err != nil {
		return nil, err
	}
	journals := make([]JournalID, len(drafts))
	for i, d := range drafts {
		journals[i] = d.Journal
	}
	if err := w.acquire(ctx, journals); err != nil {
		return nil, err
	}
	defer w.release(journals)
	parts, err := w.number(drafts)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range parts {
			w.follower.replicas[p.Journal].forget()
		}
	}()
	landed, err := w.send(ctx, parts, rows, blind(drafts))
	if errors.Is(err, ErrTermEnded) || errors.Is(err, ErrUnknown) {
		w.mu.Lock()
		w.mu.ended = err
		w.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range parts {
		w.mu.numbers[p.Journal] = landed.Parts[i].Number
	}
	return landed, nil
}

// number makes the entries and has their replicas look out for them.
func (w *Writer) number(drafts []Draft) ([]AppendPart, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := make([]AppendPart, 0, len(drafts))
	now := w.clock().UnixMilli()
	for _, d := range drafts {
		h := Header{Term: w.term, Number: w.mu.numbers[d.Journal] + 1, Time: now}
		payload := make([]byte, 0, HeaderBytesMax+len(d.Effects))
		payload = append(AppendHeader(payload, h), d.Effects...)
		if len(payload) > EntryBytesMax {
			return parts, fmt.Errorf("an entry of %d bytes for %v passes the limit of %d", len(payload), d.Journal, EntryBytesMax)
		}
		r := w.follower.replicas[d.Journal]
		if r == nil {
			return parts, fmt.Errorf("%v is not followed", d.Journal)
		}
		if err := r.expect(w.term, h.Number); err != nil {
			return parts, err
		}
		parts = append(parts, AppendPart{Journal: d.Journal, Payload: payload, Strict: d.Strict, Expect: d.Expect})
	}
	return parts, nil
}

// blind tells whether whoever appends goes on without having caught up.
func blind(drafts []Draft) bool {
	return slices.ContainsFunc(drafts, func(d Draft) bool { return d.Blind })
}

// send appends until the outcome is certain.
func (w *Writer) send(ctx context.Context, parts []AppendPart, rows *Rows, blind bool) (*Landed, error) {
	pause := w.retry.First
	taken := false
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			w.Repeated.Add(1)
			if err := sleep(ctx, pause/2+rand.N(pause/2)); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			pause = min(2*pause, w.retry.Max)
		}
		origin := ""
		if w.follower.mover != nil {
			origin = w.follower.mover.Origin()
		}
		// Not ctx: a cancelled append may still land, and nobody would look for it.
		versions, err := w.try(context.WithoutCancel(ctx), parts, rows)
		var lost *StrictLostError
		var lostTail *LostTailError
		switch {
		case err == nil && taken:
			w.trouble.End()
			return w.foldTaken(ctx, origin, parts, versions)
		case err == nil:
			w.trouble.End()
			return w.fold(ctx, origin, parts, versions)
		case errors.Is(err, ErrRowsTaken) && attempt == 0:
			return nil, err
		case errors.Is(err, ErrRowsTaken):
			// An earlier try may have landed, or may land yet once the rows that refuse it are
			// gone. Entries without effects take its numbers: what comes first stands.
			parts, rows, taken = placeholders(parts), nil, true
			continue
		case errors.Is(err, ErrTermEnded):
			return nil, err
		case errors.As(err, &lost) && attempt == 0 && blind:
			w.follower.begin(lost.Journal)
			return nil, lost // The only try.
		case errors.As(err, &lost):
			return w.lost(ctx, parts, lost)
		case errors.As(err, &lostTail):
			r := w.follower.replicas[lostTail.Journal]
			r.stop(lostTail)
			w.follower.stopped(r, lostTail)
			return nil, r.Err()
		}
		w.trouble.Meet(err)
	}
}

func (w *Writer) try(ctx context.Context, parts []AppendPart, rows *Rows) ([]Version, error) {
	if rows == nil {
		return w.store.Append(ctx, w.term, parts)
	}
	inTime := *rows
	inTime.By = w.clock().Add(RowsWait)
	return w.store.AppendRows(ctx, w.term, parts, inTime)
}

// placeholders returns the same entries without effects.
func placeholders(parts []AppendPart) []AppendPart {
	empty := make([]AppendPart, len(parts))
	for i, p := range parts {
		h, _, _ := ParseEntry(p.Payload) // we made it
		empty[i] = AppendPart{Journal: p.Journal, Payload: AppendHeader(nil, h), Strict: p.Strict, Expect: p.Expect}
	}
	return empty
}

// foldTaken folds placeholders. Where the first entry with their number has effects
// it is the append itself, whose reply was lost.
func (w *Writer) foldTaken(ctx context.Context, origin string, parts []AppendPart, versions []Version) (*Landed, error) {
	landed, err := w.fold(ctx, origin, parts, versions)
	if err != nil {
		return nil, err
	}
	for _, p := range landed.Parts {
		if len(p.Outcomes) > 0 {
			return landed, nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range parts {
		w.mu.numbers[p.Journal] = landed.Parts[i].Number // taken by the placeholder
	}
	return nil, ErrRowsTaken
}

// fold waits until the replicas have passed the versions that the append got, and returns what it came to.
func (w *Writer) fold(ctx context.Context, origin string, parts []AppendPart, versions []Version) (*Landed, error) {
	if len(versions) != len(parts) {
		return nil, fmt.Errorf("%w: %d versions for %d parts", ErrUnknown, len(versions), len(parts))
	}
	if w.Publish != nil {
		w.Publish(origin, parts, versions)
	}
	return w.foldAt(ctx, parts, versions)
}

// foldAt is fold for versions of which nobody is told; 0 is one that is not known.
func (w *Writer) foldAt(ctx context.Context, parts []AppendPart, versions []Version) (*Landed, error) {
	var gaps []Position
	for i, p := range parts {
		r := w.follower.replicas[p.Journal]
		gap, err := r.deliver(versions[i], p.Payload, true)
		if err != nil {
			w.follower.stopped(r, err)
			return nil, err
		}
		if gap {
			gaps = append(gaps, Position{p.Journal, versions[i]})
		}
	}
	// What other agents appended before is on its way, if they push.
	if err := w.refresh(ctx, w.follower.await(ctx, gaps)); err != nil {
		return nil, err
	}
	landed := &Landed{Parts: make([]Result, len(parts))}
	for i, p := range parts {
		r := w.follower.replicas[p.Journal]
		o, err := r.outcome()
		switch {
		case err != nil:
			return nil, err
		case o.skipped:
			return nil, fmt.Errorf("%w: %v was restored past it", ErrUnknown, p.Journal)
		case !o.landed && o.version >= versions[i]:
			err := fmt.Errorf("%w: version %d was assigned, and %d was seen: the metastore lost its tail",
				ErrStopped, versions[i], o.version)
			r.stop(err)
			w.follower.stopped(r, err)
			return nil, r.Err()
		case !o.landed:
			return nil, fmt.Errorf("%w: %v is at version %d before %d", ErrUnknown, p.Journal, o.version, versions[i])
		}
		landed.Parts[i] = o.result
	}
	return landed, nil
}

// lost looks for a refused strict append among what it missed: an earlier try may have landed.
func (w *Writer) lost(ctx context.Context, parts []AppendPart, lost *StrictLostError) (*Landed, error) {
	if err := w.refresh(ctx, []JournalID{lost.Journal}); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if p.Journal != lost.Journal {
			continue
		}
		o, err := w.follower.replicas[p.Journal].outcome()
		switch {
		case err != nil:
			return nil, err
		case o.skipped:
			return nil, fmt.Errorf("%w: %v was restored past it", ErrUnknown, p.Journal)
		case !o.landed:
			return nil, lost // Certain: its head has moved on, so no earlier try can land any more.
		}
	}
	journals := make([]JournalID, len(parts))
	for i, p := range parts {
		journals[i] = p.Journal
	}
	if err := w.refresh(ctx, journals); err != nil {
		return nil, err
	}
	return w.foldAt(ctx, parts, make([]Version, len(parts)))
}

// refresh reads until it succeeds: what is asked for has been appended.
func (w *Writer) refresh(ctx context.Context, journals []JournalID) error {
	if len(journals) == 0 {
		return nil
	}
	for pause := w.retry.First; ; pause = min(2*pause, w.retry.Max) {
		err := w.follower.Refresh(ctx, journals...)
		if err == nil || errors.Is(err, ErrStopped) {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
}

func (w *Writer) acquire(ctx context.Context, journals []JournalID) error {
	t := &turn{journals: journals, ready: make(chan struct{})}
	w.mu.Lock()
	if w.mu.ended != nil {
		defer w.mu.Unlock()
		return w.mu.ended
	}
	w.mu.queue = append(w.mu.queue, t)
	w.grantLocked()
	w.mu.Unlock()
	select {
	case <-t.ready:
	case <-ctx.Done():
		w.mu.Lock()
		if i := slices.Index(w.mu.queue, t); i >= 0 {
			w.mu.queue = slices.Delete(w.mu.queue, i, i+1)
			w.grantLocked()
			w.mu.Unlock()
			return ctx.Err()
		}
		w.mu.Unlock() // Granted meanwhile.
	}
	w.mu.Lock()
	err := w.mu.ended
	w.mu.Unlock()
	if err != nil {
		w.release(journals)
	}
	return err
}

func (w *Writer) release(journals []JournalID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range journals {
		delete(w.mu.busy, j)
	}
	w.grantLocked()
}

// grantLocked gives their turn to the waiters whose journals are free of appends and of earlier waiters.
func (w *Writer) grantLocked() {
	wanted := map[JournalID]bool{}
	w.mu.queue = slices.DeleteFunc(w.mu.queue, func(t *turn) bool {
		free := true
		for _, j := range t.journals {
			if w.mu.busy[j] || wanted[j] {
				free = false
			}
			wanted[j] = true
		}
		if free {
			for _, j := range t.journals {
				w.mu.busy[j] = true
			}
			close(t.ready)
		}
		return free
	})
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
