package bucket

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// recorder is a file system that notes the steps of a Put, and fails where it is told to.
type recorder struct {
	root  string
	steps []string
	fail  map[string]error // by step
	after map[string]error // by step, after it was done
}

func (r *recorder) step(what, name string, do func() error) error {
	rel, err := filepath.Rel(r.root, name)
	if err != nil || strings.HasPrefix(rel, "..") {
		return do() // above the bucket
	}
	if strings.HasPrefix(rel, tempName) {
		rel = "aside"
	}
	step := what + " " + rel
	r.steps = append(r.steps, step)
	if err := r.fail[step]; err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return r.after[step]
}

func (r *recorder) fileSystem() fileSystem {
	real := realFileSystem()
	return fileSystem{
		write: func(f *os.File, b []byte) (n int, err error) {
			err = r.step("write", f.Name(), func() (err error) { n, err = real.write(f, b); return err })
			return n, err
		},
		link: func(from, to string) error {
			return r.step("link", to, func() error { return real.link(from, to) })
		},
		sync: func(f *os.File) error {
			return r.step("sync", f.Name(), func() error { return real.sync(f) })
		},
	}
}

func openRecorded(t *testing.T) (*folder, *recorder) {
	t.Helper()
	r := &recorder{root: t.TempDir(), fail: map[string]error{}, after: map[string]error{}}
	f, err := openFolder(t.Context(), r.root, r.fileSystem())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r.steps = nil
	return f, r
}

// TestFolder_DurableBeforeItReturns: the object is synced before it has a name,
// and its name, and those of new folders, before Put returns.
func TestFolder_DurableBeforeItReturns(t *testing.T) {
	f, r := openRecorded(t)
	for _, c := range []struct {
		key  string
		want []string
	}{
		{"a/b/1", []string{"sync a", "sync .", "write aside", "sync aside", "link a/b/1", "sync a/b"}},
		{"a/b/2", []string{"write aside", "sync aside", "link a/b/2", "sync a/b"}},
		{"a/3", []string{"sync .", "write aside", "sync aside", "link a/3", "sync a"}},
		{"4", []string{"write aside", "sync aside", "link 4", "sync ."}},
	} {
		r.steps = nil
		if err := f.Put(t.Context(), c.key, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.steps, c.want) {
			t.Errorf("put %s: %q; want %q", c.key, r.steps, c.want)
		}
	}
	// An object that is there already is durable before ErrExists says so.
	r.steps = nil
	if err := f.Put(t.Context(), "a/b/1", []byte("x")); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	if want := []string{"write aside", "sync aside", "link a/b/1", "sync a/b"}; !slices.Equal(r.steps, want) {
		t.Errorf("put again: %q; want %q", r.steps, want)
	}
}

// TestFolder_NewFolderOfAnother: a folder that another process made, and may not
// have synced, is synced before the first object in it counts as durable.
func TestFolder_NewFolderOfAnother(t *testing.T) {
	f, r := openRecorded(t)
	if err := os.MkdirAll(filepath.Join(r.root, "x/y"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "x/y/1", nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync x", "sync .", "sync aside", "link x/y/1", "sync x/y"}; !slices.Equal(r.steps, want) {
		t.Errorf("%q; want %q", r.steps, want)
	}
}

// TestFolder_StepFails: whatever step fails, nothing is left half written, and
// the next Put of the key succeeds or says truthfully what is there.
func TestFolder_StepFails(t *testing.T) {
	for _, c := range []struct {
		step  string
		err   error
		is    error
		words string
		stays bool // the object is there all the same
		stops bool // nothing can be put any more
	}{
		{step: "write aside", err: syscall.ENOSPC, is: ErrFull, words: "the disk is full"},
		{step: "write aside", err: syscall.EDQUOT, is: ErrFull, words: "quota"},
		{step: "sync aside", err: syscall.ENOSPC, is: ErrFull, words: "the disk is full"},
		{step: "sync aside", err: syscall.EIO, is: syscall.EIO},
		{step: "link a/k", err: syscall.EROFS, is: ErrDenied, words: "read-only"},
		{step: "link a/k", err: syscall.EACCES, is: ErrDenied, words: "this user may not"},
		{step: "link a/k", err: syscall.ENOSPC, is: ErrFull},
		{step: "link a/k", err: syscall.EMFILE, is: syscall.EMFILE, words: "ulimit"},
		{step: "sync a", err: syscall.EIO, is: syscall.EIO, stays: true, stops: true},
	} {
		f, r := openRecorded(t)
		r.fail[c.step] = c.err
		err := f.Put(t.Context(), "a/k", []byte("body"))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s fails with %v: %v; want words %q", c.step, c.err, err, c.words)
		}
		if left, _ := os.ReadDir(f.tmp.path); len(left) != 0 {
			t.Errorf("%s fails: %v is left", c.step, left)
		}
		got, getErr := f.Get(t.Context(), "a/k", 0, -1)
		if c.stays && string(got) != "body" || !c.stays && !errors.Is(getErr, ErrNotFound) {
			t.Errorf("%s fails: get: %q, %v", c.step, got, getErr)
		}
		clear(r.fail)
		err = f.Put(t.Context(), "a/k", []byte("body"))
		if (err != nil) != c.stops || c.stops && errors.Is(err, ErrExists) {
			t.Errorf("%s fails, put again: %v", c.step, err)
		}
		if other := f.Put(t.Context(), "b/other", nil); (other != nil) != c.stops {
			t.Errorf("%s fails, put another: %v", c.step, other)
		}
	}
}

// TestFolder_RetryAfterLostLink: the link was made and its answer lost; the retry finds its own bytes.
func TestFolder_RetryAfterLostLink(t *testing.T) {
	f, r := openRecorded(t)
	r.after["link k"] = syscall.EIO
	cfg := DefaultRetryConfig()
	cfg.First, cfg.Max = 1, 1
	if err := Retry(f, cfg).Put(t.Context(), "k", []byte("body")); err != nil {
		t.Error(err)
	}
	if err := f.Put(t.Context(), "k", []byte("body")); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
}

// TestFolder_UploadNotSynced: a file that could not be synced once is never called durable,
// though the kernel forgets the failure; another upload may be.
func TestFolder_UploadNotSynced(t *testing.T) {
	f, r := openRecorded(t)
	b := Retry(f, DefaultRetryConfig())
	upload := func() error {
		u, err := Begin(t.Context(), b, "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Part(t.Context(), []byte("body")); err != nil {
			t.Fatal(err)
		}
		err = u.Commit(t.Context())
		if err != nil {
			u.Abort(t.Context())
		}
		return err
	}
	synced := f.fs.sync
	f.fs.sync = func(file *os.File) error {
		f.fs.sync = synced
		return syscall.EIO
	}
	if err := upload(); !errors.Is(err, syscall.EIO) || slices.Contains(r.steps, "link k") {
		t.Errorf("%v after %q", err, r.steps)
	}
	if _, err := f.Get(t.Context(), "k", 0, -1); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := upload(); err != nil {
		t.Error(err)
	}
}

func TestFolder_FolderRemoved(t *testing.T) {
	f, r := openRecorded(t)
	if err := f.Put(t.Context(), "a/b/1", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(r.root, "a")); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "a/b/2", nil); err != nil {
		t.Errorf("put into a folder that was removed: %v", err)
	}
	if err := os.RemoveAll(r.root); err != nil {
		t.Fatal(err)
	}
	err := f.Put(t.Context(), "a/b/3", nil)
	if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "has been removed") {
		t.Errorf("put into a bucket that was removed: %v", err)
	}
}

func TestFolder_PathThroughAnObject(t *testing.T) {
	f, _ := openRecorded(t)
	if err := f.Put(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "a/b/c", nil); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("put below an object: %v", err)
	}
	if err := f.Put(t.Context(), "a", nil); err == nil || errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "no object") {
		t.Errorf("put over a folder: %v", err)
	}
}

// TestFolder_CancelledWhileWriting: ctx is looked at between the pieces of a large object.
func TestFolder_CancelledWhileWriting(t *testing.T) {
	f, _ := openRecorded(t)
	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	f.fs.write = func(file *os.File, b []byte) (int, error) {
		writes++
		cancel()
		return file.Write(b)
	}
	if err := f.Put(ctx, "k", make([]byte, 3*writePiece)); !errors.Is(err, context.Canceled) || writes != 1 {
		t.Errorf("put: %v after %d writes", err, writes)
	}
	if left, _ := os.ReadDir(f.tmp.path); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// TestFolder_SweptAtOpen: what a crash left is removed, what an open bucket writes is not.
func TestFolder_SweptAtOpen(t *testing.T) {
	f, r := openRecorded(t)
	crashed := filepath.Join(r.root, tempName, "crashed")
	if err := os.MkdirAll(crashed, 0o777); err != nil {
		t.Fatal(err)
	}
	mine := f.tmp.name(77)
	for _, name := range []string{filepath.Join(crashed, "1"), mine} {
		if err := os.WriteFile(name, []byte("half"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	second, err := openFolder(t.Context(), r.root, realFileSystem())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(crashed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("what an open bucket writes: %v", err)
	}
	if objects, err := second.List(t.Context(), "", "", 0); err != nil || len(objects) != 0 {
		t.Errorf("temporary files are listed: %v, %v", objects, err)
	}
	for _, b := range []*folder{f, second} {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(r.root, tempName)); len(left) != 0 {
		t.Errorf("after closing: %v", left)
	}
	if err := f.Put(t.Context(), "k", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

// TestOpenFolder_Refuses: a folder that can't take a Put is refused when it is opened.
func TestOpenFolder_Refuses(t *testing.T) {
	for step, c := range map[string]struct {
		err   error
		words string
	}{
		"write aside": {syscall.ENOSPC, "the disk is full"},
		"link aside":  {syscall.EPERM, "no hard links"},
		"sync aside":  {syscall.EINVAL, "invalid argument"},
	} {
		r := &recorder{root: t.TempDir(), fail: map[string]error{step: c.err}}
		_, err := openFolder(t.Context(), r.root, r.fileSystem())
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s fails: %v; want words %q", step, err, c.words)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(t.Context(), "file://"+file)
	if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("open a file: %v", err)
	}
}

// TestFolder_GetIntoAllocatesNothingLarge: a block is read into the caller's buffer.
func TestFolder_GetIntoAllocatesNothingLarge(t *testing.T) {
	f, _ := openRecorded(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := f.Put(t.Context(), "k", body); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, len(body))
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if n, err := f.GetInto(b.Context(), "k", 0, dst); n != len(dst) || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	if perOp := result.AllocedBytesPerOp(); perOp > 4096 {
		t.Errorf("a read of 1 MiB allocates %d bytes", perOp)
	}
}
