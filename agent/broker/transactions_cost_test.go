package broker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
)

// puts counts a bucket's.
type puts struct {
	bucket.Bucket
	n *atomic.Int64
}

func (p puts) Put(ctx context.Context, key string, body []byte) error {
	p.n.Add(1)
	return p.Bucket.Put(ctx, key, body)
}

// TestTransactions_Cost: what a transaction over so many partitions takes, in both versions, with
// the offsets of a group: statements, entries in journals and PUTs.
func TestTransactions_Cost(t *testing.T) {
	for _, r := range []struct {
		version2   bool
		partitions int32
		want       metastore.Statements
	}{
		// The beginning; the records; a group; its offsets; the end with its markers. Entries: each
		// journal that a statement touches has one; the end's are those of the transaction, the shards and the group.
		{true, 1, metastore.Statements{Append: 5, Parts: 1 + 1 + 1 + 1 + 3}},
		{true, 10, metastore.Statements{Append: 5, Parts: 1 + testShards + 1 + 1 + 2 + testShards}},
		{true, 100, metastore.Statements{Append: 5, Parts: 1 + testShards + 1 + 1 + 2 + testShards}},
		// A produce and a commit of offsets of version 1 read whether their transaction goes on: an epoch has
		// several, and what is known here may be of the one before.
		{false, 1, metastore.Statements{Append: 5, Parts: 1 + 1 + 1 + 1 + 3, Read: 2}},
		{false, 10, metastore.Statements{Append: 5, Parts: 1 + testShards + 1 + 1 + 2 + testShards, Read: 2}},
		{false, 100, metastore.Statements{Append: 5, Parts: 1 + testShards + 1 + 1 + 2 + testShards, Read: 2}},
	} {
		t.Run(fmt.Sprintf("version 2: %t, %d partitions", r.version2, r.partitions), func(t *testing.T) {
			store := metastore.NewCounting(newStore())
			var written atomic.Int64
			a := newReaders(t, store, 1, options{bucket: func(b bucket.Bucket) bucket.Bucket { return puts{b, &written} }})[0]
			a.create("topic", r.partitions, nil)
			var all []int32
			for p := range r.partitions {
				all = append(all, p)
			}
			x := a.initTxn("id")
			before := store.Statements()
			produce, commit, end := int16(12), int16(5), int16(5)
			if !r.version2 {
				produce, commit, end = 11, 4, 4
				wantCodes(t, "add", x.add(3, "topic", all...), none)
			}
			wantCodes(t, "produce", x.produce(produce, "topic", 0, all...), none)
			if !r.version2 {
				wantCodes(t, "add the group", []int16{x.addGroup(3, "group")}, none)
			}
			wantCodes(t, "commit offsets", []int16{x.commitOffset(commit, "group", "topic", 1)}, none)
			x.mustEnd(end, true)
			if got := store.Statements().Since(before); got != r.want {
				t.Errorf("%+v", got)
			}
			if n := written.Load(); n != 1 {
				t.Errorf("%d PUTs", n)
			}
			if got := a.committed("topic", all...); len(got) != int(r.partitions) {
				t.Errorf("%d committed", len(got))
			}
		})
	}
}
