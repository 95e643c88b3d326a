package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

func openMem(_ context.Context, u *url.URL) (Bucket, io.Closer, error) {
	if u.Host != "" || u.Path != "" || u.RawQuery != "" {
		return nil, nil, fmt.Errorf("bucket URL %q: mem:// takes nothing after it", u.Redacted())
	}
	b := memblob.OpenBucket(&memblob.Options{NoMD5: true})
	return &gocloud{bucket: b, tokenIsKey: true}, b, nil
}

// gocloud adapts a bucket of gocloud.dev/blob. Its Put is create-only by IfNotExist.
type gocloud struct {
	bucket *blob.Bucket
	// tokenIsKey says that the driver's page token is the last key of the page
	// before, so that a list can begin after any key. Otherwise pages are skipped.
	tokenIsKey bool
}

func (g *gocloud) Put(ctx context.Context, key string, body []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := g.bucket.WriteAll(ctx, key, body, &blob.WriterOptions{
		IfNotExist:                  true,
		ContentType:                 "application/octet-stream",
		DisableContentTypeDetection: true,
	})
	return wrapGocloud(ctx, "put", key, err)
}

func (g *gocloud) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r, err := g.open(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	size := max(r.Size()-offset, 0)
	if length >= 0 {
		size = min(size, length)
	}
	body := make([]byte, size)
	n, err := io.ReadFull(r, body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, wrapGocloud(ctx, "get", key, err)
	}
	return body[:n], nil
}

func (g *gocloud) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	r, err := g.open(ctx, key, offset, int64(len(dst)))
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.ReadFull(r, dst)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, wrapGocloud(ctx, "get", key, err)
	}
	return n, nil
}

func (g *gocloud) open(ctx context.Context, key string, offset, length int64) (*blob.Reader, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := checkRange(key, offset); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := g.bucket.NewRangeReader(ctx, key, offset, length, nil)
	return r, wrapGocloud(ctx, "get", key, err)
}

func (g *gocloud) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := wrapGocloud(ctx, "delete", key, g.bucket.Delete(ctx, key))
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
	token := blob.FirstPageToken
	if g.tokenIsKey && after != "" {
		token = []byte(after)
	}
	var objects []Object
	for len(objects) < limit && len(token) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, next, err := g.bucket.ListPage(ctx, token, limit-len(objects), &blob.ListOptions{Prefix: prefix})
		if err != nil {
			return nil, wrapGocloud(ctx, "list", prefix, err)
		}
		for _, o := range page {
			if o.Key > after {
				objects = append(objects, Object{Key: o.Key, Size: o.Size, Modified: o.ModTime})
			}
		}
		token = next
	}
	return objects, nil
}

// wrapGocloud says what was attempted and puts gocloud's codes into our errors.
func wrapGocloud(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("%s %s: %w", op, key, ctxErr)
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fmt.Errorf("%s %s: %w", op, key, ErrNotFound)
	case gcerrors.AlreadyExists, gcerrors.FailedPrecondition:
		return fmt.Errorf("%s %s: %w", op, key, ErrExists)
	case gcerrors.PermissionDenied:
		return fmt.Errorf("%s %s: %w: %w", op, key, ErrDenied, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
