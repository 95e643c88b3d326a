package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

const (
	// checkFolder is below which Check writes.
	checkFolder = "wadi-bucket-check/"
	// checkLarge is the size of the object that Check measures with, in bytes.
	checkLarge = 8 << 20
	// checkRounds is how often Check measures.
	checkRounds = 5
	// cleanTimeout bounds the removal of what Check wrote when its own time is over.
	cleanTimeout = 30 * time.Second
)

// Finding is what one step of Check found.
type Finding struct {
	Step string
	Text string // what was found, in words
	Err  error  // why the bucket can't be used
}

// Check proves that a bucket does what Wadi needs, and measures it: puts, create-only
// puts, reads and ranges, lists, deletes. It tells each step. It removes what it wrote, also
// after an error. The error is that of the step that failed.
func Check(ctx context.Context, b Bucket, tell func(Finding)) error {
	var id [8]byte
	rand.Read(id[:])
	c := &check{bucket: b, prefix: checkFolder + hex.EncodeToString(id[:]) + "/"}
	err := c.run(ctx, tell)
	if cleanErr := c.clean(ctx); cleanErr != nil && err == nil {
		tell(Finding{Step: "clean up", Err: cleanErr})
		return fmt.Errorf("clean up: %w", cleanErr)
	}
	return err
}

type check struct {
	bucket  Bucket
	prefix  string
	written []string // keys that may hold an object
}

func (c *check) run(ctx context.Context, tell func(Finding)) error {
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) (string, error)
	}{
		{"write", c.write},
		{"write only where nothing is", c.createOnly},
		{"read", c.read},
		{"read a part", c.ranges},
		{"list", c.list},
		{"delete", c.delete},
		{"time of a small write", c.smallWrites},
		{"time of a large write", c.largeWrite},
	} {
		text, err := step.do(ctx)
		tell(Finding{step.name, text, err})
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (c *check) put(ctx context.Context, name string, body []byte) error {
	c.written = append(c.written, c.prefix+name)
	return c.bucket.Put(ctx, c.prefix+name, body)
}

func (c *check) write(ctx context.Context) (string, error) {
	if err := c.put(ctx, "object", []byte("0123456789")); err != nil {
		return "", err
	}
	return "it takes objects", nil
}

func (c *check) createOnly(ctx context.Context) (string, error) {
	err := c.bucket.Put(ctx, c.prefix+"object", []byte("other bytes"))
	if err == nil {
		return "", errors.New("an object was replaced by a write that must not do that; the server ignores the condition (If-None-Match, ifGenerationMatch), so records could be lost")
	}
	if !errors.Is(err, ErrExists) {
		return "", err
	}
	return "a second write of a key is refused", nil
}

func (c *check) read(ctx context.Context) (string, error) {
	body, err := c.bucket.Get(ctx, c.prefix+"object", 0, -1)
	if err != nil {
		return "", err
	}
	if string(body) != "0123456789" {
		return "", fmt.Errorf("what is read (%d bytes) isn't what was written", len(body))
	}
	if _, err := c.bucket.Get(ctx, c.prefix+"nothing", 0, -1); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = errors.New("an object that was never written is read")
		}
		return "", fmt.Errorf("read what isn't there: %w", err)
	}
	return "what was written is read, what wasn't is not found", nil
}

func (c *check) ranges(ctx context.Context) (string, error) {
	for _, r := range []struct {
		offset, length int64
		want           string
	}{{3, 4, "3456"}, {8, 100, "89"}, {4, -1, "456789"}, {10, 5, ""}} {
		body, err := c.bucket.Get(ctx, c.prefix+"object", r.offset, r.length)
		if err != nil {
			return "", err
		}
		if string(body) != r.want {
			return "", fmt.Errorf("%d bytes from %d of 0123456789 are %q", r.length, r.offset, body)
		}
	}
	return "parts are what they should be", nil
}

func (c *check) list(ctx context.Context) (string, error) {
	if err := c.put(ctx, "list/b", nil); err != nil {
		return "", err
	}
	if err := c.put(ctx, "list/a", nil); err != nil {
		return "", err
	}
	keys := func(after string) ([]string, error) {
		objects, err := c.bucket.List(ctx, c.prefix+"list/", after, 0)
		var keys []string
		for _, o := range objects {
			keys = append(keys, o.Key[min(len(c.prefix), len(o.Key)):])
		}
		return keys, err
	}
	got, err := keys("")
	if err != nil {
		return "", err
	}
	if !slices.Equal(got, []string{"list/a", "list/b"}) {
		return "", fmt.Errorf("two objects were just written, and the list says %q; lists must be complete and in order", got)
	}
	if got, err = keys(c.prefix + "list/a"); err != nil || !slices.Equal(got, []string{"list/b"}) {
		return "", errors.Join(err, fmt.Errorf("a list that begins after the first of two says %q", got))
	}
	return "lists are complete and in order", nil
}

func (c *check) delete(ctx context.Context) (string, error) {
	for range 2 { // One that is gone is no error.
		if err := c.bucket.Delete(ctx, c.prefix+"object"); err != nil {
			return "", err
		}
	}
	if _, err := c.bucket.Get(ctx, c.prefix+"object", 0, -1); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = errors.New("a deleted object is still read; are versions kept or objects locked?")
		}
		return "", err
	}
	return "deleted objects are gone", nil
}

func (c *check) smallWrites(ctx context.Context) (string, error) {
	var puts, gets []time.Duration
	body := make([]byte, 4<<10)
	for i := range checkRounds {
		name := fmt.Sprintf("small/%d", i)
		begin := time.Now()
		if err := c.put(ctx, name, body); err != nil {
			return "", err
		}
		puts = append(puts, time.Since(begin))
		begin = time.Now()
		if _, err := c.bucket.Get(ctx, c.prefix+name, 0, -1); err != nil {
			return "", err
		}
		gets = append(gets, time.Since(begin))
	}
	return fmt.Sprintf("4 KiB are written in %s, read in %s (middle of %d)", middle(puts), middle(gets), checkRounds), nil
}

func (c *check) largeWrite(ctx context.Context) (string, error) {
	body := make([]byte, checkLarge)
	rand.Read(body)
	begin := time.Now()
	if err := c.put(ctx, "large", body); err != nil {
		return "", err
	}
	put := time.Since(begin)
	begin = time.Now()
	got, err := c.bucket.Get(ctx, c.prefix+"large", 0, -1)
	if err != nil {
		return "", err
	}
	get := time.Since(begin)
	if !bytes.Equal(got, body) {
		return "", fmt.Errorf("what is read isn't what was written (CRC-32 %08x, not %08x)", crc32.ChecksumIEEE(got), crc32.ChecksumIEEE(body))
	}
	return fmt.Sprintf("8 MiB are written in %s, read in %s", rounded(put), rounded(get)), nil
}

// clean removes what was written, even if ctx is done.
func (c *check) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var errs []error
	for _, key := range c.written {
		errs = append(errs, c.bucket.Delete(ctx, key))
	}
	return errors.Join(errs...)
}

func middle(of []time.Duration) time.Duration {
	slices.Sort(of)
	return rounded(of[len(of)/2])
}

func rounded(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
