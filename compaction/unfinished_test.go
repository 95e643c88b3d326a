package compaction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// uploads is a bucket that knows of unfinished uploads.
type uploads struct {
	*objects
	left   []Unfinished
	failed string // the key whose end fails
}

func (u *uploads) Unfinished(context.Context, string) ([]Unfinished, error) {
	return slices.Clone(u.left), nil
}

func (u *uploads) End(_ context.Context, one Unfinished) error {
	if one.Key == u.failed {
		return errors.New("denied")
	}
	u.left = slices.DeleteFunc(u.left, func(x Unfinished) bool { return x == one })
	return nil
}

// Unfinished uploads are ended once their term is dead, and no others; one that can't be keeps none from it.
func TestUnfinished_OfDeadTerms(t *testing.T) {
	w := newWorld(t)
	dead, live, a := w.agent(), w.agent(), w.agent()
	key := func(term metastore.Term, number uint64) string {
		return segment.ID{Term: uint64(term), Number: number, Merged: true}.Key()
	}
	u := &uploads{objects: w.bucket, left: []Unfinished{
		{key(dead.term, 1), "a"}, {key(dead.term, 1), "b"}, {key(dead.term, 2), "a"}, {key(live.term, 1), "a"}, {key(a.term, 1), "a"},
		{key(a.term+1, 1), "a"}, {"partitions/else", "a"},
	}}
	a.deps.Bucket = u
	a.do("end uploads", a.EndUploads(t.Context()))
	if len(u.left) != 7 {
		t.Fatalf("while their terms live: %v", u.left)
	}
	if _, err := w.store.EndTerm(t.Context(), dead.term, true); err != nil {
		t.Fatal(err)
	}
	u.failed = key(dead.term, 1)
	if err := a.EndUploads(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if len(u.left) != 6 {
		t.Fatalf("left: %v", u.left)
	}
	u.failed = ""
	a.do("end uploads", a.EndUploads(t.Context()))
	if got, want := fmt.Sprint(u.left), fmt.Sprint([]Unfinished{{key(live.term, 1), "a"}, {key(a.term, 1), "a"}, {key(a.term+1, 1), "a"}, {"partitions/else", "a"}}); got != want || a.Stats.UploadsEnded.Load() != 3 {
		t.Fatalf("left: %s, %d ended", got, a.Stats.UploadsEnded.Load())
	}
}
