package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
)

// strictLossesMax bounds how often a change of the catalog is decided anew because
// another agent was faster.
const strictLossesMax = 100

// entryBytesAimed is the size of effects, in bytes, at which a change of many
// topics goes on in another append. One topic more still fits an entry.
const entryBytesAimed = metastore.EntryBytesMax / 4

// change appends to the catalog what decide returns for its state, with parts for
// other journals; the first draft must be the catalog's, and it becomes strict.
// After a strict loss decide is called again, with the newer state. No drafts:
// nothing is appended, and Landed is nil.
//
// decide runs under the replica's lock: it must not block. ctx ends only the wait for
// a turn; once begun, the append goes on until its outcome is certain or the term ends.
func (b *Broker) change(ctx context.Context, decide func(s *catalog.State) []metastore.Draft) (*metastore.Landed, error) {
	select {
	case <-b.writing:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w (%w)", errTurn, ctx.Err())
	}
	defer func() { b.writing <- struct{}{} }()
	for range strictLossesMax {
		if err := b.deps.Catalog.Err(); err != nil {
			return nil, err
		}
		var drafts []metastore.Draft
		metastore.ViewAt(b.deps.Catalog, func(s *catalog.State, v metastore.Version) {
			if drafts = decide(s); len(drafts) > 0 {
				drafts[0].Strict, drafts[0].Expect = true, v
			}
		})
		if len(drafts) == 0 {
			return nil, nil
		}
		landed, err := b.deps.Writer.Append(b.deps.Term, drafts)
		var lost *metastore.StrictLostError
		if !errors.As(err, &lost) {
			return landed, err
		}
	}
	return nil, errBusy
}

// drafts collects the effects of one append: the catalog's, and those of the shards.
type drafts struct {
	catalog []byte
	shards  map[int][]byte
	order   []int // of the shards, as they came
	groups  int   // whose configs change
}

// shard adds to the effects of a shard what add appends to them.
func (d *drafts) shard(i int, add func(dst []byte) []byte) {
	if d.shards == nil {
		d.shards = map[int][]byte{}
	}
	before, ok := d.shards[i]
	if !ok {
		d.order = append(d.order, i)
	}
	d.shards[i] = add(before)
}

// full tells whether a further topic should go into another append.
func (d *drafts) full() bool {
	if len(d.catalog) >= entryBytesAimed {
		return true
	}
	for _, effects := range d.shards {
		if len(effects) >= entryBytesAimed {
			return true
		}
	}
	return false
}

// list returns the drafts for change, nil when there is nothing.
func (d *drafts) list() []metastore.Draft {
	if len(d.catalog) == 0 {
		return nil
	}
	all := make([]metastore.Draft, 0, 1+len(d.order))
	all = append(all, metastore.Draft{Journal: metastore.CatalogJournal, Effects: d.catalog})
	for _, i := range d.order {
		all = append(all, metastore.Draft{Journal: metastore.ShardJournal(i), Effects: d.shards[i]})
	}
	return all
}
