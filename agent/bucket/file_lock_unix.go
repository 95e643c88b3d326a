//go:build unix

package bucket

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// lockFolder locks a folder until the file is closed or the process dies. It
// returns nil if another holds it or it is gone.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Locked, but perhaps swept just before: then the path names nothing, or another folder.
	held, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	there, err := os.Stat(path)
	if err != nil || !os.SameFile(held, there) {
		return nil, f.Close()
	}
	return f, nil
}
