package bucket

import (
	"context"
	"io"
	"time"
)

// Scattered says that dsts[i] of a Scatter has got its n bytes: fewer than it has room for
// only at the object's end. It is called once for each, in order, by the goroutine that asked.
type Scattered func(i, n int)

// scatterer is a Bucket that reads into several slices by one request. It calls done for those that
// were filled before an error.
type scatterer interface {
	scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error
}

// Scatter fills slices, one after the other, with an object's bytes from offset: by one
// request where the bucket can, else by one for each. What was told to done is right whatever Scatter returns.
func Scatter(ctx context.Context, b Bucket, key string, offset int64, dsts [][]byte, done Scattered) error {
	if s, ok := b.(scatterer); ok {
		return s.scatter(ctx, key, offset, dsts, done)
	}
	for i, dst := range dsts {
		n, err := b.GetInto(ctx, key, offset, dst)
		if err != nil {
			return err
		}
		done(i, n)
		offset += int64(len(dst))
	}
	return nil
}

// roomOf adds up slices.
func roomOf(dsts [][]byte) (bytes int64) {
	for _, dst := range dsts {
		bytes += int64(len(dst))
	}
	return bytes
}

// scatterBody fills dsts from a body of size bytes.
func scatterBody(body io.Reader, size int64, dsts [][]byte, done Scattered) error {
	for i, dst := range dsts {
		n := min(int64(len(dst)), size)
		if size -= n; size == 0 && n > 0 {
			if err := readWhole(body, dst[:n]); err != nil { // its end too
				return err
			}
		} else if _, err := io.ReadFull(body, dst[:n]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		done(i, int(n))
	}
	return nil
}

// nothingOf tells done of slices of which an object has nothing.
func nothingOf(dsts [][]byte, done Scattered) {
	for i := range dsts {
		done(i, 0)
	}
}

func (g *gocloud) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	r, size, err := g.open(ctx, key, offset, roomOf(dsts))
	if err != nil {
		return err
	}
	if r == nil {
		nothingOf(dsts, done)
		return nil
	}
	defer r.Close()
	return wrapGocloud(ctx, OpGet, key, scatterBody(r, size, dsts, done))
}

// scatter goes on after the slices that an attempt filled: an object never changes.
func (r *retry) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	filled := 0
	return r.do(ctx, OpGet, roomOf(dsts), func(ctx context.Context) error {
		begin := filled
		return Scatter(ctx, r.bucket, key, offset+roomOf(dsts[:begin]), dsts[begin:], func(i, n int) {
			filled = begin + i + 1
			done(begin+i, n)
		})
	})
}

// scatter isn't hedged: it is what nobody waits for yet.
func (h *hedge) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	return Scatter(ctx, h.Bucket, key, offset, dsts, done)
}

func (o *observed) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	s, ok := o.bucket.(scatterer)
	if !ok { // each request is told by GetInto
		return Scatter(ctx, o.each(), key, offset, dsts, done)
	}
	begin, bytes := time.Now(), 0
	err := s.scatter(ctx, key, offset, dsts, func(i, n int) {
		bytes += n
		done(i, n)
	})
	o.tell(OpGet, key, begin, bytes, err)
	return err
}

// each hides that a bucket scatters.
func (o *observed) each() Bucket { return struct{ Bucket }{o} }

func (c *Counter) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	return Scatter(ctx, c.Bucket, key, offset, dsts, done)
}
