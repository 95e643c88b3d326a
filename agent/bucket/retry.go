package bucket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// comparePiece is how much of an object is read at a time to compare it, in bytes.
const comparePiece = 256 << 10

// RetryConfig paces and bounds the repeats of a request.
type RetryConfig struct {
	First          time.Duration // pause before the first repeat; it doubles up to Max
	Max            time.Duration // longest pause
	Elapsed        time.Duration // no repeat begins this long after the request did; 0: none at all
	AttemptTimeout time.Duration // bounds one attempt; 0: unbounded
	// Jitter makes a pause of one that is due, so that many agents don't repeat in step.
	Jitter func(pause time.Duration) time.Duration
}

// DefaultRetryConfig repeats for half a minute.
func DefaultRetryConfig() RetryConfig {
	return RetryConfig{
		First:          20 * time.Millisecond,
		Max:            2 * time.Second,
		Elapsed:        30 * time.Second,
		AttemptTimeout: 30 * time.Second,
		Jitter:         func(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) },
	}
}

// Validate says what is wrong with the config.
func (c RetryConfig) Validate() error {
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
}

func (r *retry) Put(ctx context.Context, key string, body []byte) error {
	err := r.do(ctx, func(ctx context.Context) error { return r.bucket.Put(ctx, key, body) })
	if !errors.Is(err, ErrExists) {
		return err
	}
	same, err := r.holds(ctx, key, body)
	switch {
	case err != nil:
		// Unknown is not failed: the object may be this one.
		return fmt.Errorf("compare what is stored at a key that was put before: %w", err)
	case !same:
		return fmt.Errorf("put %s: %w", key, ErrConflict)
	}
	return nil
}

// holds says whether the object at key is body, byte by byte.
func (r *retry) holds(ctx context.Context, key string, body []byte) (bool, error) {
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
	err = r.do(ctx, func(ctx context.Context) (err error) {
		body, err = r.bucket.Get(ctx, key, offset, length)
		return err
	})
	return body, err
}

func (r *retry) GetInto(ctx context.Context, key string, offset int64, dst []byte) (n int, err error) {
	err = r.do(ctx, func(ctx context.Context) (err error) {
		n, err = r.bucket.GetInto(ctx, key, offset, dst)
		return err
	})
	return n, err
}

func (r *retry) Delete(ctx context.Context, key string) error {
	return r.do(ctx, func(ctx context.Context) error { return r.bucket.Delete(ctx, key) })
}

func (r *retry) List(ctx context.Context, prefix, after string, limit int) (objects []Object, err error) {
	err = r.do(ctx, func(ctx context.Context) (err error) {
		objects, err = r.bucket.List(ctx, prefix, after, limit)
		return err
	})
	return objects, err
}

// do attempts until it succeeds, a repeat can't help, or the time is over.
func (r *retry) do(ctx context.Context, attempt func(context.Context) error) error {
	begin := time.Now()
	pause := r.cfg.First
	for n := 1; ; n++ {
		err := r.once(ctx, attempt)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		wait := r.cfg.Jitter(pause)
		if time.Since(begin)+wait >= r.cfg.Elapsed {
			return fmt.Errorf("%w (tried %d times)", err, n)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx, err)
		}
		pause = min(2*pause, r.cfg.Max)
	}
}

// ended is ctx's error, with that of the last attempt if it is another one.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w, after: %w", ctx.Err(), err)
}

func (r *retry) once(ctx context.Context, attempt func(context.Context) error) error {
	if r.cfg.AttemptTimeout == 0 {
		return attempt(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AttemptTimeout)
	defer cancel()
	return attempt(ctx)
}

// final says that the answer would be the same again. Full disks and denied
// requests are repeated: space is freed, and cloud credentials are renewed.
func final(err error) bool {
	for _, e := range []error{ErrExists, ErrNotFound, ErrKey, ErrRange, ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
