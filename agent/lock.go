//go:build !faketime

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folderFormat is the layout of a folder that this program reads and writes. Persisted.
const folderFormat = 1

// folderMark is the content of a folder's wadi.json.
type folderMark struct {
	Format int `json:"format"`
}

// folderLock keeps other processes out of a folder until Close, or the process's end.
type folderLock struct{ file *os.File }

// lockFolder makes the folder if need be, and refuses one that another process
// uses or a newer version wrote.
func lockFolder(dir string) (*folderLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the folder %s can't be made: %w", dir, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the folder %s can't be written: %w", dir, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another wadi process uses the folder %s", dir)
		}
		return nil, fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	if err := checkFormat(filepath.Join(dir, "wadi.json")); err != nil {
		file.Close()
		return nil, err
	}
	return &folderLock{file}, nil
}

func checkFormat(path string) error {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		body, _ = json.Marshal(folderMark{folderFormat})
		if err := os.WriteFile(path, append(body, '\n'), 0o644); err != nil {
			return fmt.Errorf("the folder %s can't be written: %w", filepath.Dir(path), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var m folderMark
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("%s is not what wadi writes: %w", path, err)
	}
	if m.Format > folderFormat {
		return fmt.Errorf("the folder %s was written by a newer version of wadi (format %d; this one knows %d)",
			filepath.Dir(path), m.Format, folderFormat)
	}
	return nil
}

// Close lets other processes in.
func (l *folderLock) Close() error { return l.file.Close() }
