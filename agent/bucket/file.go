package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// writePiece is how much of an object is written between two looks at ctx, in bytes.
const writePiece = 4 << 20

// foldersMax bounds the folders that a bucket remembers as durable.
const foldersMax = 4096

// folder is a Bucket in a folder of a file system: an object is a file, the
// slashes of its key are folders. A file's contents are written aside, synced,
// linked to its name (link(2) refuses a taken one, across processes too), and the
// folder is synced. Several processes may share the folder.
//
// A key can't lie below another key ("a" and "a/b"), and on a file system that
// folds case two keys must differ in more than case.
type folder struct {
	root string
	tmp  *tempFolder
	next atomic.Uint64 // names temporary files
	// broken is set once a folder could not be synced. The kernel may report such a
	// failure once and forget it, so nothing that is put later could be called durable.
	broken atomic.Pointer[error]
	closed atomic.Bool
	fs     fileSystem
	mu     struct {
		sync.Mutex
		durable map[string]bool // folders whose entries up to the root have been synced
	}
}

// fileSystem is the steps of a Put, which tests make fail.
type fileSystem struct {
	write func(f *os.File, b []byte) (int, error)
	link  func(from, to string) error
	sync  func(f *os.File) error // of a file or a folder
}

func realFileSystem() fileSystem {
	return fileSystem{
		write: (*os.File).Write,
		link:  os.Link,
		sync:  (*os.File).Sync,
	}
}

func openFile(ctx context.Context, u *url.URL) (Bucket, io.Closer, error) {
	if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || u.Fragment != "" {
		return nil, nil, fmt.Errorf("bucket URL %q: write file:///an/absolute/folder", u.Redacted())
	}
	f, err := openFolder(ctx, filepath.Clean(u.Path), realFileSystem())
	if err != nil {
		return nil, nil, fmt.Errorf("bucket folder %s: %w", u.Path, err)
	}
	return f, f, nil
}

// openFolder makes the folder, sweeps what crashed processes left, and tries the
// steps of a Put, so that a folder that can't take one is refused now.
func openFolder(ctx context.Context, root string, steps fileSystem) (*folder, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := &folder{root: root, fs: steps}
	f.mu.durable = map[string]bool{}
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, writeInWords(err)
	}
	// All folders above: who made them may not have synced them. Those that this user may
	// not read he didn't make either.
	for d := root; d != filepath.Dir(d); d = filepath.Dir(d) {
		if err := f.sync(filepath.Dir(d)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return nil, writeInWords(err)
		}
	}
	tmp, err := openTempFolder(root)
	if err != nil {
		return nil, writeInWords(err)
	}
	f.tmp = tmp
	if err := f.try(ctx); err != nil {
		return nil, errors.Join(err, tmp.close())
	}
	return f, nil
}

// try writes and links a file among the temporary ones.
func (f *folder) try(ctx context.Context) error {
	name, err := f.writeAside(ctx, []byte("wadi"))
	if err != nil {
		return writeInWords(err)
	}
	defer os.Remove(name)
	linked := name + ".link"
	defer os.Remove(linked)
	if err := f.fs.link(name, linked); err != nil {
		return fmt.Errorf("its file system has no hard links, which writing objects needs: %w", writeInWords(err))
	}
	return writeInWords(f.sync(f.tmp.path))
}

// Close removes the temporary files.
func (f *folder) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	return f.tmp.close()
}

func (f *folder) ready(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if f.closed.Load() {
		return ErrClosed
	}
	return ctx.Err()
}

func (f *folder) path(key string) string { return filepath.Join(f.root, filepath.FromSlash(key)) }

func (f *folder) Put(ctx context.Context, key string, body []byte) error {
	if err := f.ready(ctx, key); err != nil {
		return err
	}
	if err := f.put(ctx, key, body); err != nil {
		return fmt.Errorf("put %s: %w", key, writeInWords(err))
	}
	return nil
}

func (f *folder) put(ctx context.Context, key string, body []byte) error {
	if broken := f.broken.Load(); broken != nil {
		return fmt.Errorf("a folder could not be synced earlier, so nothing here can be called durable; check the disk and start again: %w", *broken)
	}
	if err := f.makeDurable(filepath.Dir(f.path(key))); err != nil {
		return err
	}
	aside, err := f.writeAside(ctx, body)
	if err != nil {
		return err
	}
	defer os.Remove(aside)
	return f.name(aside, key)
}

// name gives a synced temporary file the name of a key.
func (f *folder) name(aside, key string) error {
	if broken := f.broken.Load(); broken != nil {
		return fmt.Errorf("a folder could not be synced earlier, so nothing here can be called durable; check the disk and start again: %w", *broken)
	}
	name := f.path(key)
	dir := filepath.Dir(name)
	if err := f.makeDurable(dir); err != nil {
		return err
	}
	// Durable, but without a name: garbage if we die here, swept at the next Open.
	err := f.fs.link(aside, name)
	if errors.Is(err, fs.ErrNotExist) { // Someone removed the folder that we remember.
		f.forget()
		if err := f.makeDurable(dir); err != nil {
			return err
		}
		err = f.fs.link(aside, name)
	}
	exists := errors.Is(err, fs.ErrExist)
	if err != nil && !exists {
		return err
	}
	if exists {
		if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
			return errors.New("something that is no object lies at its name")
		}
	}
	// Readers see it. Unknown whether it outlives a crash of the machine until the folder is synced,
	// which holds for an object that was there already as well.
	if err := f.sync(dir); err != nil {
		return err
	}
	// Durable under its name; whatever happens now, it stays.
	if exists {
		return ErrExists
	}
	return nil
}

// writeAside writes body to a new temporary file, synced, and returns its name.
func (f *folder) writeAside(ctx context.Context, body []byte) (_ string, err error) {
	name := f.tmp.name(f.next.Add(1))
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	defer func() {
		// A failed close is a failed write on network file systems.
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(name)
		}
	}()
	if err := f.writeTo(ctx, file, body); err != nil {
		return "", err
	}
	if err := f.fs.sync(file); err != nil {
		return "", err
	}
	return name, nil
}

// writeTo appends to a file.
func (f *folder) writeTo(ctx context.Context, file *os.File, body []byte) error {
	for rest := body; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.fs.write(file, rest[:min(len(rest), writePiece)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// makeDurable makes dir and the folders between it and the root, and syncs the
// entries of all of them, whoever made them: he may not have come to it.
func (f *folder) makeDurable(dir string) error {
	f.mu.Lock()
	known := f.mu.durable[dir]
	f.mu.Unlock()
	if known {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for d := dir; d != f.root; d = filepath.Dir(d) {
		if err := f.sync(filepath.Dir(d)); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mu.durable) >= foldersMax {
		clear(f.mu.durable)
	}
	f.mu.durable[dir] = true
	return nil
}

func (f *folder) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.mu.durable) // Folders above it may be gone as well.
}

// sync makes a folder's entries durable.
func (f *folder) sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err // Nothing is lost by it: the next sync reports what this one would have.
	}
	defer d.Close()
	if err := f.fs.sync(d); err != nil {
		f.broken.CompareAndSwap(nil, &err)
		return err
	}
	return nil
}

// open opens an object's file; the caller closes it.
func (f *folder) open(ctx context.Context, key string, offset int64) (*os.File, int64, error) {
	if err := f.ready(ctx, key); err != nil {
		return nil, 0, err
	}
	if err := checkRange(key, offset); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(f.path(key))
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", key, inWords(err))
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("get %s: %w", key, inWords(err))
	}
	return file, info.Size(), nil
}

func (f *folder) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	file, size, err := f.open(ctx, key, offset)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size = max(size-offset, 0)
	if length >= 0 {
		size = min(size, length)
	}
	body := make([]byte, size)
	n, err := readAt(ctx, file, key, offset, body)
	return body[:n], err
}

func (f *folder) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	file, _, err := f.open(ctx, key, offset)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return readAt(ctx, file, key, offset, dst)
}

func (f *folder) scatter(ctx context.Context, key string, offset int64, dsts [][]byte, done Scattered) error {
	file, _, err := f.open(ctx, key, offset)
	if err != nil {
		return err
	}
	defer file.Close()
	for i, dst := range dsts {
		n, err := readAt(ctx, file, key, offset, dst)
		if err != nil {
			return err
		}
		done(i, n)
		offset += int64(len(dst))
	}
	return nil
}

func readAt(ctx context.Context, file *os.File, key string, offset int64, dst []byte) (int, error) {
	for n := 0; n < len(dst); {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		piece := dst[n:min(len(dst), n+writePiece)]
		got, err := file.ReadAt(piece, offset+int64(n))
		n += got
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, fmt.Errorf("get %s: %w", key, inWords(err))
		}
	}
	return len(dst), nil
}

func (f *folder) Delete(ctx context.Context, key string) error {
	if err := f.ready(ctx, key); err != nil {
		return err
	}
	name := f.path(key)
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		return nil // Keys lie below it; it is none itself.
	}
	err := os.Remove(name)
	if err != nil && !notThere(err) {
		return fmt.Errorf("delete %s: %w", key, inWords(err))
	}
	return nil
}

// notThere says that a path names nothing: missing, or below what is a file.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// writeInWords is inWords for a write, to which a missing file is not a missing object.
func writeInWords(err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("a part of the path is a file: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the bucket's folder has been removed: %w", err)
	}
	return inWords(err)
}

// inWords adds to a file system's error what the bucket's callers and operators know it as.
func inWords(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists):
		return err
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: the disk is full: %w", ErrFull, err)
	case errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk quota is used up: %w", ErrFull, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the file system is mounted read-only: %w", ErrDenied, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not write or read there: %w", ErrDenied, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: a part of the path is a file: %w", ErrNotFound, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("too many open files; raise the limit (ulimit -n): %w", err)
	}
	return err
}

// inRoot says whether a folder entry can be a part of a key.
func inRoot(name string) bool { return !strings.HasPrefix(name, ".") && CheckKey(name) == nil }
