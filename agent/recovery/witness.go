package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// Bucket is what is read of one.
type Bucket interface {
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	List(ctx context.Context, prefix, after string, limit int) ([]bucket.Object, error)
}

// Terms is what is asked of the metastore: its terms.
type Terms interface {
	Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error)
	Cluster() metastore.Cluster
}

const (
	// newestRead is how many of a term's newest segments are read for their fates.
	newestRead = 8
	// termsRead bounds the terms whose segments are looked at beside those that live:
	// the newest in the bucket.
	termsRead = 8
	// afterAll is behind the number of every segment of a term.
	afterAll = "~"
)

// readsMax bounds the terms whose segments are read at once.
const readsMax = 8

// Witness returns what asks the bucket which versions were assigned: by the snapshots,
// and by the fates in the newest segments of the terms that live or that come last.
func Witness(b Bucket, store Terms) metastore.Witness {
	return func(ctx context.Context) (metastore.Evidence, error) {
		var e metastore.Evidence
		if err := seeSnapshots(ctx, b, store.Cluster(), &e); err != nil {
			return e, err
		}
		last, err := lastTerm(ctx, b)
		if err != nil {
			return e, err
		}
		e.LastTerm = last
		live, err := store.Terms(ctx)
		if err != nil {
			return e, err
		}
		terms := map[metastore.Term]bool{}
		for _, t := range live {
			terms[t.Term] = true
		}
		for t := last; t > 0 && t+termsRead > last; t-- {
			terms[t] = true
		}
		// The cluster waits for this, and each term takes some thirty requests.
		var mu sync.Mutex
		reading, ctx := errgroup.WithContext(ctx)
		reading.SetLimit(readsMax)
		for t := range terms {
			reading.Go(func() error {
				fates, err := seeFates(ctx, b, t)
				mu.Lock()
				defer mu.Unlock()
				for _, f := range fates {
					e.See(metastore.JournalID(f.Journal), metastore.Version(f.Version))
				}
				return err
			})
		}
		err = reading.Wait()
		return e, err
	}
}

func seeSnapshots(ctx context.Context, b Bucket, cluster metastore.Cluster, e *metastore.Evidence) error {
	journals := map[string]metastore.JournalID{}
	for _, j := range cluster.Journals() {
		journals[j.String()] = j
	}
	for after := ""; ; {
		objects, err := b.List(ctx, "snapshots/", after, bucket.ListMax)
		if err != nil {
			return fmt.Errorf("list the snapshots: %w", err)
		}
		for _, o := range objects {
			if name, version, ok := metastore.ParseSnapshotKey(o.Key); ok {
				if j, known := journals[name]; known {
					e.See(j, version)
				}
			}
			after = o.Key
		}
		if len(objects) < bucket.ListMax {
			return nil
		}
	}
}

// lastTerm is the highest term that has a segment in the bucket, 0 if there is none.
// Keys sort as terms do, so a list that begins behind a term tells whether there is a
// higher one.
func lastTerm(ctx context.Context, b Bucket) (metastore.Term, error) {
	next := func(t uint64) (uint64, error) {
		after := termPrefix(metastore.Term(t)) + afterAll
		objects, err := b.List(ctx, "segments/", after, 1)
		if err != nil {
			return 0, fmt.Errorf("list the segments: %w", err)
		}
		if len(objects) == 0 {
			return 0, nil
		}
		id, ok := segment.ParseKey(objects[0].Key)
		if !ok {
			return 0, nil
		}
		return id.Term, nil
	}
	highest, err := search(next)
	return metastore.Term(highest), err
}

// search returns the highest number that there is, by a function that returns one above another, 0 if
// there is none.
func search(next func(uint64) (uint64, error)) (uint64, error) {
	found := uint64(0)
	for step := uint64(1); step > 0; {
		n, err := next(found + step - 1)
		switch {
		case err != nil:
			return 0, err
		case n > 0:
			found, step = n, 2*step
		default:
			step /= 2
		}
	}
	return found, nil
}

// lastSegment is the highest number of a term's segments, 0 if it has none. A page that
// isn't full ends with it, so a young term takes one request.
func lastSegment(ctx context.Context, b Bucket, t metastore.Term) (uint64, error) {
	prefix := termPrefix(t)
	last := uint64(0)
	found, err := search(func(n uint64) (uint64, error) {
		if last > 0 {
			return 0, nil
		}
		objects, err := b.List(ctx, prefix, segment.ID{Term: uint64(t), Number: n}.Key(), bucket.ListMax)
		if err != nil {
			return 0, fmt.Errorf("list the segments of term %d: %w", t, err)
		}
		if len(objects) == 0 {
			return 0, nil
		}
		id, _ := segment.ParseKey(objects[len(objects)-1].Key)
		if len(objects) < bucket.ListMax {
			last = id.Number
		}
		return id.Number, nil
	})
	return max(found, last), err
}

// termPrefix is what the keys of a term's segments begin with.
func termPrefix(t metastore.Term) string {
	key := segment.ID{Term: uint64(t)}.Key()
	return key[:strings.LastIndexByte(key, '/')+1]
}

// seeFates reads the newest segments of a term.
func seeFates(ctx context.Context, b Bucket, t metastore.Term) (fates []segment.Fate, err error) {
	last, err := lastSegment(ctx, b, t)
	if err != nil || last == 0 {
		return nil, err
	}
	first := segment.ID{Term: uint64(t), Number: last - min(last, newestRead)}
	objects, err := b.List(ctx, termPrefix(t), first.Key(), newestRead)
	if err != nil {
		return nil, fmt.Errorf("list the segments of term %d: %w", t, err)
	}
	for _, o := range objects {
		f, err := readFooter(ctx, b, o)
		if errors.Is(err, bucket.ErrNotFound) || errors.Is(err, segment.ErrCorrupt) {
			continue // collected meanwhile, or damaged: it says nothing, and whoever reads it is told
		}
		if err != nil {
			return nil, err
		}
		fates = append(fates, f.Fates...)
	}
	return fates, nil
}

// readFooter reads what a segment says about itself.
func readFooter(ctx context.Context, b Bucket, o bucket.Object) (*segment.Footer, error) {
	for need := min(int64(segment.TailHint), o.Size); ; {
		tail, err := b.Get(ctx, o.Key, o.Size-need, need)
		if err != nil {
			return nil, fmt.Errorf("read the footer of %s: %w", o.Key, err)
		}
		f, err := segment.ReadFooter(tail, o.Size)
		if short := (*segment.ShortTailError)(nil); errors.As(err, &short) && short.Need > need {
			need = short.Need
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the footer of %s: %w", o.Key, err)
		}
		return f, nil
	}
}

// Store is a metastore that can be compared with a bucket.
type Store interface {
	metastore.Store
	metastore.LostTails
}

// Check compares the journals with the bucket, and marks those that lost their tails. It
// returns all that are marked, by whomever.
func Check(ctx context.Context, store Store, witness metastore.Witness) ([]metastore.LostTail, error) {
	e, err := witness(ctx)
	if err != nil {
		return nil, fmt.Errorf("compare the metastore with the bucket: %w", err)
	}
	if err := mark(ctx, store, e); err != nil {
		return nil, err
	}
	return store.LostTails(ctx)
}

// mark marks only if there is something to mark: that holds up all appends for a moment.
func mark(ctx context.Context, store Store, e metastore.Evidence) error {
	var positions []metastore.Position
	for _, j := range store.Cluster().Journals() {
		if v := e.Seen[j]; v > 0 {
			positions = append(positions, metastore.Position{Journal: j, After: v})
		}
	}
	tails, err := store.Read(ctx, positions, 1)
	if err != nil {
		return fmt.Errorf("read the journals' heads: %w", err)
	}
	for i, tail := range tails {
		if tail.Head < positions[i].After {
			_, err := store.MarkLost(ctx, e)
			return err
		}
	}
	if e.LastTerm == 0 {
		return nil
	}
	known, err := store.Terms(ctx, e.LastTerm)
	if err != nil {
		return err
	}
	for _, t := range known {
		if t.Term >= e.LastTerm {
			return nil
		}
	}
	// Its row may have been pruned, if later ones have begun and ended: then this changes nothing.
	_, err = store.MarkLost(ctx, metastore.Evidence{LastTerm: e.LastTerm})
	return err
}
