package bucket

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// List walks the folders that can hold keys of the answer, in the order of keys.
// It holds the names of one folder and of those above it in memory.
func (f *folder) List(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if f.closed.Load() {
		return nil, ErrClosed
	}
	l := lister{root: f, prefix: prefix, after: after, limit: listLimit(limit)}
	if err := l.walk(ctx, ""); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, inWords(err))
	}
	return l.objects, nil
}

type lister struct {
	root          *folder
	prefix, after string
	limit         int
	objects       []Object
}

// walk adds the keys below base, which is empty or ends in a slash.
func (l *lister) walk(ctx context.Context, base string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.root.path(base))
	if notThere(err) {
		return nil // Removed since its name was read.
	}
	if err != nil {
		return err
	}
	// A folder's keys come where its name and a slash come: after "a-b" for the folder "a".
	sortName := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if len(l.objects) == l.limit {
			return nil
		}
		key := base + sortName(e)
		switch {
		case !inRoot(e.Name()):
		case e.IsDir():
			if l.mayHold(key) {
				if err := l.walk(ctx, key); err != nil {
					return err
				}
			}
		case e.Type().IsRegular() && key > l.after && strings.HasPrefix(key, l.prefix):
			info, err := e.Info()
			if notThere(err) {
				continue
			}
			if err != nil {
				return err
			}
			l.objects = append(l.objects, Object{Key: key, Size: info.Size(), Modified: info.ModTime()})
		}
	}
	return nil
}

// mayHold says whether keys that begin with base can be in the answer.
func (l *lister) mayHold(base string) bool {
	inPrefix := strings.HasPrefix(base, l.prefix) || strings.HasPrefix(l.prefix, base)
	past := l.after > base && !strings.HasPrefix(l.after, base)
	return inPrefix && !past
}
