package bucket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrInjected is wrapped by the errors that Faults makes up.
var ErrInjected = errors.New("injected fault")

// Call is a request that Faults is asked about.
type Call struct {
	Op  Op
	Key string // or prefix
	N   int    // counts the requests of this kind from 1
}

// Fault is what goes wrong with a request; its zero value is nothing. Several
// may be set: what comes before the request, the request, what comes after.
type Fault struct {
	Delay   time.Duration   // slow: waits first, or until ctx is done
	Until   <-chan struct{} // slow: waits first until it is closed, or until ctx is done
	Refused bool            // not done, and fails
	Twice   bool            // done twice; the second answer is returned
	Lost    bool            // done, and fails all the same
	Flip    bool            // a get succeeds with its first bit changed
}

// Faults asks plan about each request and lets happen what it answers. It is for
// tests. plan is called by one goroutine at a time.
func Faults(b Bucket, plan func(Call) Fault) Bucket {
	f := &faulty{bucket: b, plan: plan}
	f.mu.calls = map[Op]int{}
	return f
}

type faulty struct {
	bucket Bucket
	plan   func(Call) Fault
	mu     struct {
		sync.Mutex
		calls map[Op]int
	}
}

// do lets request happen as the plan for it says, and returns the plan.
func (f *faulty) do(ctx context.Context, op Op, key string, request func() error) (Fault, error) {
	f.mu.Lock()
	f.mu.calls[op]++
	call := Call{Op: op, Key: key, N: f.mu.calls[op]}
	fault := f.plan(call)
	f.mu.Unlock()
	if err := fault.wait(ctx); err != nil {
		return fault, fmt.Errorf("%s %s: %w", op, key, err)
	}
	if fault.Refused {
		return fault, fmt.Errorf("%s %s: %w: refused", op, key, ErrInjected)
	}
	err := request()
	if fault.Twice {
		err = request()
	}
	if fault.Lost {
		return fault, fmt.Errorf("%s %s: %w: the answer was lost", op, key, ErrInjected)
	}
	return fault, err
}

func (f Fault) wait(ctx context.Context) error {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, key string, body []byte) error {
	_, err := f.do(ctx, OpPut, key, func() error { return f.bucket.Put(ctx, key, body) })
	return err
}

func (f *faulty) Get(ctx context.Context, key string, offset, length int64) (body []byte, err error) {
	fault, err := f.do(ctx, OpGet, key, func() (err error) {
		body, err = f.bucket.Get(ctx, key, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	if fault.Flip && len(body) > 0 {
		body[0] ^= 1
	}
	return body, nil
}

func (f *faulty) GetInto(ctx context.Context, key string, offset int64, dst []byte) (n int, err error) {
	fault, err := f.do(ctx, OpGet, key, func() (err error) {
		n, err = f.bucket.GetInto(ctx, key, offset, dst)
		return err
	})
	if err != nil {
		return 0, err
	}
	if fault.Flip && n > 0 {
		dst[0] ^= 1
	}
	return n, nil
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	_, err := f.do(ctx, OpDelete, key, func() error { return f.bucket.Delete(ctx, key) })
	return err
}

func (f *faulty) List(ctx context.Context, prefix, after string, limit int) (objects []Object, err error) {
	_, err = f.do(ctx, OpList, prefix, func() (err error) {
		objects, err = f.bucket.List(ctx, prefix, after, limit)
		return err
	})
	return objects, err
}
