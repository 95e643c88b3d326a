package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// objectType is the content type of all objects.
const objectType = "application/octet-stream"

// partBytesMin is the smallest part of a put, in bytes.
const partBytesMin = 256 << 10

// gocloud adapts a bucket of gocloud.dev/blob. Its Put is create-only by IfNotExist.
type gocloud struct {
	bucket *blob.Bucket
	// from lets a list begin after a key. It returns the page token to begin with, and
	// may set the options. nil: the driver can't, so the pages before it are read and dropped.
	from func(after string, options *blob.ListOptions) (token []byte)
}

// tokenIsKey is from of drivers whose page token is the last key of the page before.
func tokenIsKey(after string, _ *blob.ListOptions) []byte { return []byte(after) }

func (g *gocloud) Put(ctx context.Context, key string, body []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := g.bucket.WriteAll(ctx, key, body, &blob.WriterOptions{
		IfNotExist:                  true,
		ContentType:                 objectType,
		DisableContentTypeDetection: true,
		// One part and one request; the default would take 16 MiB of memory for any object.
		BufferSize:     max(len(body)+1, partBytesMin),
		MaxConcurrency: 1,
	})
	return wrapGocloud(ctx, OpPut, key, err)
}

func (g *gocloud) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r, size, err := g.open(ctx, key, offset, length)
	if err != nil || r == nil {
		return nil, err
	}
	defer r.Close()
	body := make([]byte, size)
	if err := readWhole(r, body); err != nil {
		return nil, wrapGocloud(ctx, OpGet, key, err)
	}
	return body, nil
}

func (g *gocloud) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	r, size, err := g.open(ctx, key, offset, int64(len(dst)))
	if err != nil || r == nil {
		return 0, err
	}
	defer r.Close()
	if err := readWhole(r, dst[:size]); err != nil {
		return 0, wrapGocloud(ctx, OpGet, key, err)
	}
	return int(size), nil
}

// open begins to read, and tells how many bytes will come. It returns nil where there
// is an object but nothing to read of it.
func (g *gocloud) open(ctx context.Context, key string, offset, length int64) (*blob.Reader, int64, error) {
	if err := ready(ctx, key); err != nil {
		return nil, 0, err
	}
	if err := checkRange(key, offset); err != nil {
		return nil, 0, err
	}
	if length == 0 {
		if _, err := g.bucket.Attributes(ctx, key); err != nil {
			return nil, 0, wrapGocloud(ctx, OpGet, key, err)
		}
		return nil, 0, nil
	}
	r, err := g.bucket.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		// A range that begins at or past the end is an error to some services. One more
		// request, in a case that the agent's reads never meet.
		if a, attrErr := g.bucket.Attributes(ctx, key); offset > 0 && attrErr == nil && offset >= a.Size {
			return nil, 0, nil
		}
		return nil, 0, wrapGocloud(ctx, OpGet, key, err)
	}
	size := max(r.Size()-offset, 0)
	if length > 0 {
		size = min(size, length)
	}
	if size == 0 {
		return nil, 0, r.Close()
	}
	return r, size, nil
}

func (g *gocloud) Delete(ctx context.Context, key string) error {
	if err := ready(ctx, key); err != nil {
		return err
	}
	err := wrapGocloud(ctx, OpDelete, key, g.bucket.Delete(ctx, key))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (g *gocloud) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	limit = listLimit(limit)
	token, options := blob.FirstPageToken, &blob.ListOptions{Prefix: prefix}
	if g.from != nil && after != "" {
		token = g.from(after, options)
	}
	var objects []Object
	for len(objects) < limit && len(token) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, next, err := g.bucket.ListPage(ctx, token, pageSize(limit-len(objects), g.from == nil && after != ""), options)
		if err != nil {
			return nil, wrapGocloud(ctx, OpList, prefix, err)
		}
		for _, o := range page {
			if o.Key > after && len(objects) < limit {
				objects = append(objects, Object{Key: o.Key, Size: o.Size, Modified: o.ModTime})
			}
		}
		token = next
	}
	return objects, nil
}

// pageSize is how many objects are asked for. Where pages are only skipped they are full ones.
func pageSize(missing int, skipping bool) int {
	if skipping {
		return ListMax
	}
	return missing + 1 // one may be the key to begin after itself
}

// wrapGocloud says what was attempted and puts gocloud's codes into our errors.
func wrapGocloud(ctx context.Context, op Op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s %s: %w", op, key, ctxErr)
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		if op != OpGet && op != OpDelete {
			return fmt.Errorf("%s %s: %w: %w", op, key, ErrNoBucket, err)
		}
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case gcerrors.AlreadyExists, gcerrors.FailedPrecondition:
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	case gcerrors.ResourceExhausted:
		return &SlowDownError{Err: fmt.Errorf("%s %s: %w: %w", op, key, ErrSlowDown, err)}
	case gcerrors.PermissionDenied:
		return fmt.Errorf("%s %s: %w: %w", op, key, ErrDenied, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}

// ready says why a request can't begin.
func ready(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}

// readWhole reads all of body, which has len(dst) bytes, and its end: a checksum or
// a connection that is used again needs that.
func readWhole(body io.Reader, dst []byte) error {
	if _, err := io.ReadFull(body, dst); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	var more [1]byte
	for {
		n, err := body.Read(more[:])
		switch {
		case n > 0:
			return fmt.Errorf("the server sends more than the %d bytes that it told", len(dst))
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
