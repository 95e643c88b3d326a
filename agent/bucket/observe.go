package bucket

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Op is a kind of request, under the name that metrics use.
type Op string

// The kinds of requests. GetInto counts as a get.
const (
	OpPut    Op = "put"
	OpGet    Op = "get"
	OpDelete Op = "delete"
	OpList   Op = "list"
)

// Request tells of one that has been answered.
type Request struct {
	Op    Op
	Key   string // or prefix
	Bytes int64  // sent by a put, received by a get, also when it failed: 0 then
	Took  time.Duration
	Err   error
}

// Outcome names an error for metrics: ok, exists, not_found, cancelled, timeout, full, denied, slow_down or error.
func Outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrExists):
		return "exists"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, ErrFull):
		return "full"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.Is(err, ErrSlowDown):
		return "slow_down"
	}
	return "error"
}

// Observe calls f after each request, from the goroutine that made it.
func Observe(b Bucket, f func(Request)) Bucket { return &observed{bucket: b, f: f} }

type observed struct {
	bucket Bucket
	f      func(Request)
}

func (o *observed) tell(op Op, key string, begin time.Time, bytes int, err error) {
	if err != nil {
		bytes = 0
	}
	o.f(Request{Op: op, Key: key, Bytes: int64(bytes), Took: time.Since(begin), Err: err})
}

func (o *observed) Put(ctx context.Context, key string, body []byte) error {
	begin := time.Now()
	err := o.bucket.Put(ctx, key, body)
	o.tell(OpPut, key, begin, len(body), err)
	return err
}

func (o *observed) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	begin := time.Now()
	body, err := o.bucket.Get(ctx, key, offset, length)
	o.tell(OpGet, key, begin, len(body), err)
	return body, err
}

func (o *observed) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	begin := time.Now()
	n, err := o.bucket.GetInto(ctx, key, offset, dst)
	o.tell(OpGet, key, begin, n, err)
	return n, err
}

func (o *observed) Delete(ctx context.Context, key string) error {
	begin := time.Now()
	err := o.bucket.Delete(ctx, key)
	o.tell(OpDelete, key, begin, 0, err)
	return err
}

func (o *observed) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	begin := time.Now()
	objects, err := o.bucket.List(ctx, prefix, after, limit)
	o.tell(OpList, prefix, begin, 0, err)
	return objects, err
}

// Counter counts the requests that reach the bucket behind it, failed ones too.
type Counter struct {
	Bucket
	Puts, Gets, Deletes, Lists atomic.Int64
	Errors                     atomic.Int64 // of all kinds, expected ones as not found too
	PutBytes, GetBytes         atomic.Int64 // of those that succeeded
}

// Count counts requests. Below Retry it counts attempts.
func Count(b Bucket) *Counter {
	c := &Counter{}
	c.Bucket = Observe(b, c.count)
	return c
}

func (c *Counter) count(r Request) {
	switch r.Op {
	case OpPut:
		c.Puts.Add(1)
		c.PutBytes.Add(r.Bytes)
	case OpGet:
		c.Gets.Add(1)
		c.GetBytes.Add(r.Bytes)
	case OpDelete:
		c.Deletes.Add(1)
	case OpList:
		c.Lists.Add(1)
	}
	if r.Err != nil {
		c.Errors.Add(1)
	}
}
