package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// Times of the simulated bucket.
const (
	putMin, putSpread = 5 * time.Millisecond, 40 * time.Millisecond
	getMin, getSpread = 2 * time.Millisecond, 20 * time.Millisecond
)

// bucketLink is the bucket as one agent reaches it.
type bucketLink struct {
	bucket.Bucket
	gate *gate
}

func (l *bucketLink) Put(ctx context.Context, key string, body []byte) error {
	// The caller may use body again once it has an answer; a late put can't wait for that.
	kept := append([]byte(nil), body...)
	return l.gate.call(ctx, hostBucket, "put "+key, putMin, putSpread, func(ctx context.Context) error {
		return l.Bucket.Put(ctx, key, kept)
	})
}

func (l *bucketLink) Get(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	err = l.gate.call(ctx, hostBucket, "get "+key, getMin, getSpread, func(ctx context.Context) (err error) {
		b, err := l.Bucket.Get(ctx, key, offset, length)
		if err == nil {
			body = b
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.gate.flip(key, body)
	return body, nil
}

func (l *bucketLink) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	body, err := l.Get(ctx, key, offset, int64(len(dst)))
	return copy(dst, body), err
}

func (l *bucketLink) Delete(ctx context.Context, key string) error {
	l.gate.world.noteDoomed(ctx, key)
	return l.gate.call(ctx, hostBucket, "delete "+key, getMin, getSpread, func(ctx context.Context) error {
		l.gate.world.checkDelete(ctx, l.gate.host, key)
		return l.Bucket.Delete(ctx, key)
	})
}

func (l *bucketLink) List(ctx context.Context, prefix, after string, limit int) (found []bucket.Object, err error) {
	err = l.gate.call(ctx, hostBucket, "list "+prefix, getMin, getSpread, func(ctx context.Context) error {
		o, err := l.Bucket.List(ctx, prefix, after, limit)
		if err == nil {
			found = o
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// flip changes a bit of what was read, now and then, but not twice in a row: a reader that
// looks again at an object has it whole, since nothing else is promised of it.
func (g *gate) flip(key string, body []byte) {
	if len(body) == 0 || !g.chance(g.world.flips()) {
		return
	}
	g.mu.Lock()
	again := g.mu.flipped[key]
	g.mu.flipped[key] = !again
	i := g.mu.rand.IntN(8 * len(body))
	g.mu.Unlock()
	if again {
		return
	}
	body[i/8] ^= 1 << (i % 8)
	g.world.fault("flipped bit", "%s: bit %d of %d bytes read", g.host, i, len(body))
}

// noteDoomed remembers a segment that may be deleted now. It may be for ever, since its key is never used for anything else:
// a delete that was asked for now may be done late, when a request to put it was done late and the segment was retired anew.
func (w *world) noteDoomed(ctx context.Context, key string) {
	if row, ok := w.segmentRow(ctx, key); ok && !row.Retired.IsZero() && w.databaseTime().Sub(row.Retired) >= 2*staleMax {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mu.doomed[key] = true
	}
}

func (w *world) doomed(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.doomed[key]
}

// checkDelete finds a segment that is deleted before every reader's plan of it is too old to be used (I3).
func (w *world) checkDelete(ctx context.Context, host, key string) {
	if _, ok := segment.ParseKey(key); !ok || w.doomed(key) {
		return
	}
	if _, err := w.bucket.Get(ctx, key, 0, 1); err != nil {
		return // It is gone already, and perhaps its row.
	}
	row, ok := w.segmentRow(ctx, key)
	switch {
	case !ok:
		// Deleted before, its row too, and put once more by a request that was late. What is
		// named all the same is missing in the end (audit).
	case row.Retired.IsZero():
		w.bug("%s deletes %s, which isn't retired", host, key)
	case w.databaseTime().Sub(row.Retired) < 2*staleMax:
		w.bug("%s deletes %s, which was retired %v before", host, key, w.databaseTime().Sub(row.Retired))
	}
}

func (w *world) segmentRow(ctx context.Context, key string) (row metastore.SegmentRow, ok bool) {
	rows, err := w.store.Segments(ctx, key[:len(key)-1], 10)
	i := slices.IndexFunc(rows, func(r metastore.SegmentRow) bool { return r.Object == key })
	if err != nil || i < 0 {
		return row, false
	}
	return rows[i], true
}
