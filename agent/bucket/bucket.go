package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The errors that callers tell apart. Any other leaves the outcome of a Put unknown.
var (
	ErrExists   = errors.New("the object exists already")
	ErrNotFound = errors.New("the object does not exist")
	ErrKey      = errors.New("not a key")
	ErrRange    = errors.New("not a range")
	// ErrConflict wraps ErrExists: the key holds other bytes than those that were put.
	ErrConflict = fmt.Errorf("the key holds other bytes: %w", ErrExists)
	ErrDenied   = errors.New("permission denied")
	ErrFull     = errors.New("no space is left")
	ErrClosed   = errors.New("the bucket is closed")
	ErrNoBucket = errors.New("there is no such bucket")
	// ErrUnreachable is in the error of a request that Retry repeated for as long as it may.
	ErrUnreachable = errors.New("the bucket can't be reached")
	// ErrSlowDown comes as a SlowDownError.
	ErrSlowDown = errors.New("the bucket asks for fewer requests")
)

// KeyBytesMax bounds a key, and partBytesMax what stands between two slashes of it.
const (
	KeyBytesMax  = 1024 // S3's limit
	partBytesMax = 255  // a file system's
)

// ListMax bounds the objects that one List returns.
const ListMax = 1000

// SlowDownError is an answer of a bucket that refuses requests because there are too
// many. Nothing was done.
type SlowDownError struct {
	After time.Duration // how long the bucket asks to wait; 0: it doesn't say
	Err   error         // wraps ErrSlowDown
}

func (e *SlowDownError) Error() string { return e.Err.Error() }
func (e *SlowDownError) Unwrap() error { return e.Err }

// Object is what List tells of an object.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// Bucket keeps objects under keys. All methods are safe for concurrent use and
// return ctx's error soon after ctx is done.
type Bucket interface {
	// Put writes a new object, durably. ErrExists if the key is taken, by an object
	// that is durable. Any other error leaves the outcome unknown. body is not kept.
	Put(ctx context.Context, key string, body []byte) error
	// Get returns length bytes from offset, to the end if length is negative. What
	// reaches past the end is cut. ErrNotFound if there is no such object.
	Get(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// GetInto fills dst from offset and returns how many bytes it read: fewer than
	// len(dst) only at the object's end, none at or past it. After an error dst's contents are undefined.
	GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error)
	// Delete removes an object. A key without one is no error. It need not be durable:
	// after a crash the object may be back.
	Delete(ctx context.Context, key string) error
	// List returns, in the order of their bytes, the objects whose keys begin with
	// prefix and come after after. Fewer than limit means that there are no more;
	// limit is 1 to ListMax, anything else means ListMax.
	List(ctx context.Context, prefix, after string, limit int) ([]Object, error)
}

// scheme opens the buckets of one kind of URL.
type scheme struct {
	name string
	open func(ctx context.Context, u *url.URL) (Bucket, io.Closer, error)
}

// Schemes names the URL schemes that Open knows, sorted.
func Schemes() []string {
	var names []string
	for _, s := range schemes() {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// Open opens the bucket at a URL: file:///an/absolute/folder (made if missing),
// mem:// (a new empty one), s3://NAME, gs://NAME or azblob://CONTAINER with the
// parameters that gocloud.dev reads. It makes no request to a cloud's bucket: a wrong
// name shows at the first one. Close the closer when no request is in flight.
func Open(ctx context.Context, rawURL string) (Bucket, io.Closer, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, nil, fmt.Errorf("bucket URL: %w", err)
	}
	for _, s := range schemes() {
		if s.name == u.Scheme {
			return s.open(ctx, u)
		}
	}
	return nil, nil, fmt.Errorf("bucket URL %q: it must begin with one of %s://", u.Redacted(), strings.Join(Schemes(), "://, "))
}

// All iterates over all objects whose keys begin with prefix, in order.
func All(ctx context.Context, b Bucket, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for after := ""; ; {
			objects, err := b.List(ctx, prefix, after, ListMax)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
			if len(objects) < ListMax {
				return
			}
			after = objects[len(objects)-1].Key
		}
	}
}

// CheckKey says why a string can't be a key: keys are relative paths of UTF-8,
// no part of which is empty or begins with a dot.
func CheckKey(key string) error {
	if err := checkBytes(key); err != nil {
		return err
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "":
			return fmt.Errorf("%w: %q: it has an empty part", ErrKey, key)
		case part[0] == '.':
			return fmt.Errorf("%w: %q: a part begins with a dot", ErrKey, key)
		case len(part) > partBytesMax:
			return fmt.Errorf("%w: %q: a part has more than %d bytes", ErrKey, key, partBytesMax)
		}
	}
	return nil
}

// checkPrefix says why a string can't be the beginning of a key. Any cut of a key can.
func checkPrefix(prefix string) error {
	if err := checkBytes(prefix); err != nil {
		return err
	}
	if strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") ||
		strings.HasPrefix(prefix, ".") || strings.Contains(prefix, "/.") {
		return fmt.Errorf("%w: no key begins with %q", ErrKey, prefix)
	}
	return nil
}

func checkBytes(key string) error {
	if len(key) > KeyBytesMax {
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrKey, len(key), KeyBytesMax)
	}
	bad := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
	if !utf8.ValidString(key) || strings.ContainsFunc(key, bad) {
		return fmt.Errorf("%w: %q: control characters, backslashes and broken UTF-8 are not allowed", ErrKey, key)
	}
	return nil
}

// checkRange refuses a negative offset.
func checkRange(key string, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("get %s: %w: the offset %d is negative", key, ErrRange, offset)
	}
	return nil
}

// listLimit is the limit that List promises.
func listLimit(limit int) int {
	if limit < 1 || limit > ListMax {
		return ListMax
	}
	return limit
}
