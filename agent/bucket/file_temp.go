package bucket

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tempName is the folder of temporary files in a bucket's folder. Persisted.
const tempName = ".tmp"

// tempFolder is where one open bucket writes files aside. It is locked while the
// bucket is open, so that whoever opens the bucket sweeps only what crashes left.
type tempFolder struct {
	path string
	lock *os.File
}

// openTempFolder sweeps the temporary folders that nobody holds, and makes one.
func openTempFolder(root string) (*tempFolder, error) {
	all := filepath.Join(root, tempName)
	if err := os.MkdirAll(all, 0o777); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(all)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := sweep(filepath.Join(all, e.Name())); err != nil {
			return nil, fmt.Errorf("sweep temporary files: %w", err)
		}
	}
	// A sweeper may take the new folder between its making and its locking: then try another.
	for range 10 {
		path := filepath.Join(all, strings.ToLower(rand.Text()))
		if err := os.Mkdir(path, 0o777); err != nil {
			return nil, err
		}
		lock, err := lockFolder(path)
		if lock == nil && err == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &tempFolder{path: path, lock: lock}, nil
	}
	return nil, errors.New("no temporary folder could be locked")
}

// sweep removes a temporary folder unless an open bucket holds it.
func sweep(path string) error {
	lock, err := lockFolder(path)
	if lock == nil || err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(path), lock.Close())
}

func (t *tempFolder) name(n uint64) string { return filepath.Join(t.path, strconv.FormatUint(n, 10)) }

func (t *tempFolder) close() error {
	return errors.Join(os.RemoveAll(t.path), t.lock.Close())
}
