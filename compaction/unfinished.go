package compaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// Unfinished is an upload in parts that was neither committed nor aborted.
type Unfinished struct {
	Key, ID string
}

// Unfinisher is a Bucket that knows of unfinished uploads.
type Unfinisher interface {
	// Unfinished returns some of those to keys that begin with prefix.
	Unfinished(ctx context.Context, prefix string) ([]Unfinished, error)
	// End drops what an upload has put. One that was committed meanwhile is left alone.
	End(ctx context.Context, u Unfinished) error
}

// EndUploads ends the unfinished uploads of dead terms: nobody else would, and their parts cost as
// objects do. Should the agent still live and commit one, the object is an orphan as any: its term can append nothing (I4).
func (c *Compactor) EndUploads(ctx context.Context) error {
	bucket, ok := c.deps.Bucket.(Unfinisher)
	if !ok {
		return nil
	}
	found, err := bucket.Unfinished(ctx, segment.MergedPrefix)
	if err != nil {
		return fmt.Errorf("list unfinished uploads: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	var terms []metastore.Term
	for _, u := range found {
		if term, ok := termOf(u.Key); ok {
			terms = append(terms, term)
		}
	}
	slices.Sort(terms)
	// Asked after the list: a term that begins meanwhile has no upload in it.
	infos, err := c.deps.Store.Terms(ctx, slices.Compact(terms)...)
	if err != nil {
		return fmt.Errorf("list the terms: %w", err)
	}
	ended := map[metastore.Term]bool{}
	newest := metastore.Term(0)
	for _, info := range infos {
		ended[info.Term] = info.Ended
		newest = max(newest, info.Term)
	}
	for _, u := range found {
		term, ok := termOf(u.Key)
		is, known := ended[term]
		if !ok || known && !is || !known && term >= newest {
			continue // a stranger's, one that lives, one that this metastore doesn't know
		}
		if endErr := bucket.End(ctx, u); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end the upload of %s: %w", u.Key, endErr))
			continue
		}
		c.Stats.UploadsEnded.Add(1)
	}
	return err
}
