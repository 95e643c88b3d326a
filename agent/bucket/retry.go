package bucket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// comparePiece is how much of an object is read at a time to compare it, in bytes.
const comparePiece = 256 << 10

// RetryConfig paces and bounds the repeats of a request.
type RetryConfig struct {
	First          time.Duration // pause before the first repeat; it doubles up to Max
	Max            time.Duration // longest pause
	Elapsed        time.Duration // no repeat begins this long after the request did; 0: none at all
	AttemptTimeout time.Duration // bounds one attempt, to which the time for its bytes is added; 0: unbounded
	// BytesPerSecondMin is the slowest transfer that is let go on; 0: size gives no more time.
	BytesPerSecondMin int64
	// UnknownBytes is taken as the size of what is read to its end, in bytes.
	UnknownBytes int64
	// SlowDown is the pause when the bucket asks for fewer requests and doesn't say how
	// long; it doubles up to SlowDownMax. Meanwhile requests of that kind aren't begun.
	SlowDown    time.Duration
	SlowDownMax time.Duration // longest such pause, whatever the bucket asks for
	// Jitter makes a pause of one that is due, so that many agents don't repeat in step.
	Jitter func(pause time.Duration) time.Duration
}

// DefaultRetryConfig repeats for half a minute.
func DefaultRetryConfig() RetryConfig {
	return RetryConfig{
		First:             20 * time.Millisecond,
		Max:               2 * time.Second,
		Elapsed:           30 * time.Second,
		AttemptTimeout:    10 * time.Second,
		BytesPerSecondMin: 1 << 20,
		UnknownBytes:      64 << 20,
		SlowDown:          200 * time.Millisecond,
		SlowDownMax:       5 * time.Second,
		Jitter:            func(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) },
	}
}

// Validate says what is wrong with the config.
func (c RetryConfig) Validate() error {
	if c.BytesPerSecondMin < 0 || c.UnknownBytes < 0 || c.SlowDown <= 0 || c.SlowDownMax < c.SlowDown {
		return errors.New("bucket retry: SlowDown must be positive and SlowDownMax not below it, sizes not negative")
	}
	if c.First <= 0 || c.Max < c.First || c.Elapsed < 0 || c.AttemptTimeout < 0 || c.Jitter == nil {
		return errors.New("bucket retry: pauses must be positive and Max not below First, limits not negative, Jitter set")
	}
	return nil
}

// Retry repeats requests that a repeat can help: the same key and the same bytes.
//
// A Put that meets an object under its key compares it: the same bytes are the
// request's own earlier try (or one that a network doubled), so it is done; others are ErrConflict.
func Retry(b Bucket, cfg RetryConfig) Bucket { return &retry{bucket: b, cfg: cfg} }

type retry struct {
	bucket Bucket
	cfg    RetryConfig
	holds  [4]hold // by kind of request: buckets limit reads and writes apart
}

// hold keeps requests of one kind from beginning until a time.
type hold struct {
	mu struct {
		sync.Mutex
		until time.Time
	}
}

func (h *hold) extend(pause time.Duration) {
	until := time.Now().Add(pause)
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.mu.until) {
		h.mu.until = until
	}
}

func (h *hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.until.IsZero() {
		return 0
	}
	return time.Until(h.mu.until)
}

func (r *retry) hold(op Op) *hold {
	switch op {
	case OpPut:
		return &r.holds[0]
	case OpGet:
		return &r.holds[1]
	case OpDelete:
		return &r.holds[2]
	}
	return &r.holds[3]
}

func (r *retry) Put(ctx context.Context, key string, body []byte) error {
	err := r.do(ctx, OpPut, int64(len(body)), func(ctx context.Context) error { return r.bucket.Put(ctx, key, body) })
	if !errors.Is(err, ErrExists) {
		return err
	}
	same, err := r.same(ctx, key, body)
	switch {
	case err != nil:
		// Unknown is not failed: the object may be this one.
		return fmt.Errorf("compare what is stored at a key that was put before: %w", err)
	case !same:
		return fmt.Errorf("put %s: %w", key, ErrConflict)
	}
	return nil
}

// same says whether the object at key is body, byte by byte.
func (r *retry) same(ctx context.Context, key string, body []byte) (bool, error) {
	piece := make([]byte, min(comparePiece, len(body)+1))
	for offset := 0; offset <= len(body); {
		// One byte more than the rest, so that a longer object is seen.
		n, err := r.GetInto(ctx, key, int64(offset), piece[:min(len(piece), len(body)+1-offset)])
		if err != nil {
			return false, err
		}
		if n == 0 {
			return offset == len(body), nil
		}
		if offset+n > len(body) || string(piece[:n]) != string(body[offset:offset+n]) {
			return false, nil
		}
		offset += n
	}
	return true, nil
}

func (r *retry) Get(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	size := length
	if size < 0 {
		size = r.cfg.UnknownBytes
	}
	err = r.do(ctx, OpGet, size, func(ctx context.Context) (err error) {
		body, err = r.bucket.Get(ctx, key, offset, length)
		return err
	})
	return body, err
}

func (r *retry) GetInto(ctx context.Context, key string, offset int64, dst []byte) (n int, err error) {
	err = r.do(ctx, OpGet, int64(len(dst)), func(ctx context.Context) (err error) {
		n, err = r.bucket.GetInto(ctx, key, offset, dst)
		return err
	})
	return n, err
}

func (r *retry) Delete(ctx context.Context, key string) error {
	return r.do(ctx, OpDelete, 0, func(ctx context.Context) error { return r.bucket.Delete(ctx, key) })
}

func (r *retry) List(ctx context.Context, prefix, after string, limit int) (objects []Object, err error) {
	err = r.do(ctx, OpList, 0, func(ctx context.Context) (err error) {
		objects, err = r.bucket.List(ctx, prefix, after, limit)
		return err
	})
	return objects, err
}

// do attempts until it succeeds, a repeat can't help, or the time is over.
func (r *retry) do(ctx context.Context, op Op, size int64, attempt func(context.Context) error) error {
	begin := time.Now()
	pause, slow := r.cfg.First, r.cfg.SlowDown
	hold := r.hold(op)
	if left := hold.left(); left > 0 {
		// Others were told to slow down. Jitter, so that those who wait don't come at once.
		if err := sleep(ctx, left+r.cfg.Jitter(r.cfg.First)); err != nil {
			return err
		}
	}
	for n := 1; ; n++ {
		err := r.once(ctx, size, attempt)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		wait := r.cfg.Jitter(pause)
		if busy := (*SlowDownError)(nil); errors.As(err, &busy) {
			asked := min(max(busy.After, r.cfg.Jitter(slow)), r.cfg.SlowDownMax)
			hold.extend(asked)
			wait = max(wait, asked)
			slow = min(2*slow, r.cfg.SlowDownMax)
		}
		if time.Since(begin)+wait >= r.cfg.Elapsed {
			return &gaveUpError{err, n}
		}
		if sleep(ctx, wait) != nil {
			return ended(ctx, err)
		}
		pause = min(2*pause, r.cfg.Max)
	}
}

// gaveUpError is the error of the last try.
type gaveUpError struct {
	err   error
	tries int
}

func (e *gaveUpError) Error() string   { return fmt.Sprintf("%v (tried %d times)", e.err, e.tries) }
func (e *gaveUpError) Unwrap() []error { return []error{e.err, ErrUnreachable} }

// sleep waits, or returns ctx's error as soon as it is done.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended is ctx's error, with that of the last attempt if it is another one.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w, after: %w", ctx.Err(), err)
}

func (r *retry) once(ctx context.Context, size int64, attempt func(context.Context) error) error {
	if r.cfg.AttemptTimeout == 0 {
		return attempt(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.timeout(size))
	defer cancel()
	return attempt(ctx)
}

// timeout bounds an attempt that transfers size bytes.
func (c RetryConfig) timeout(size int64) time.Duration {
	if c.BytesPerSecondMin == 0 {
		return c.AttemptTimeout
	}
	return c.AttemptTimeout + time.Duration(float64(size)/float64(c.BytesPerSecondMin)*float64(time.Second))
}

// final says that the answer would be the same again. Full disks and denied
// requests are repeated: space is freed, and cloud credentials are renewed.
func final(err error) bool {
	for _, e := range []error{ErrExists, ErrNotFound, ErrKey, ErrRange, ErrClosed, ErrNoBucket, errUpload} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
