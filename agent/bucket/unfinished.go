package bucket

import (
	"context"
	"time"
)

// Unfinished is an upload that was begun, and neither committed nor aborted. It is no object: no List has it.
type Unfinished struct {
	Key   string
	ID    string // of the upload: a key may have several
	Begun time.Time
}

// sweeper is a Bucket that keeps the parts of unfinished uploads until somebody ends them.
type sweeper interface {
	unfinished(ctx context.Context, prefix string) ([]Unfinished, error)
	end(ctx context.Context, u Unfinished) error
}

// wrapper is a Bucket around another.
type wrapper interface{ inside() Bucket }

func (r *retry) inside() Bucket   { return r.bucket }
func (h *hedge) inside() Bucket   { return h.Bucket }
func (c *Counter) inside() Bucket { return c.Bucket }

// sweeperOf returns the bucket that knows of unfinished uploads, nil where there is none.
func sweeperOf(b Bucket) sweeper {
	for {
		if s, ok := b.(sweeper); ok {
			return s
		}
		w, ok := b.(wrapper)
		if !ok {
			return nil
		}
		b = w.inside()
	}
}

// ListUnfinished returns the unfinished uploads to keys that begin with prefix, ListMax at most. Only S3 has any:
// Cloud Storage and Azure drop theirs after a week, and a folder when it is opened.
// It is not repeated: who sweeps comes again.
func ListUnfinished(ctx context.Context, b Bucket, prefix string) ([]Unfinished, error) {
	if s := sweeperOf(b); s != nil {
		return s.unfinished(ctx, prefix)
	}
	return nil, nil
}

// End ends an unfinished upload and drops its parts. One that was committed or ended meanwhile is no error, and its
// object stays.
func End(ctx context.Context, b Bucket, u Unfinished) error {
	if s := sweeperOf(b); s != nil {
		return s.end(ctx, u)
	}
	return nil
}

func (o *observed) unfinished(ctx context.Context, prefix string) ([]Unfinished, error) {
	if sweeperOf(o.bucket) == nil {
		return nil, nil // no request
	}
	begin := time.Now()
	found, err := ListUnfinished(ctx, o.bucket, prefix)
	o.tell(OpList, prefix, begin, 0, err)
	return found, err
}

func (o *observed) end(ctx context.Context, u Unfinished) error {
	if sweeperOf(o.bucket) == nil {
		return nil
	}
	begin := time.Now()
	err := End(ctx, o.bucket, u)
	o.tell(OpDelete, u.Key, begin, 0, err)
	return err
}
