package transaction

import (
	"context"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/transaction"
)

// Describe returns an id that this agent coordinates, as the journal has it now.
func (c *Coordinator) Describe(ctx context.Context, id string) (*stored.Transaction, error) {
	l, err := c.owned(id)
	if err != nil {
		return nil, err
	}
	if err := l.refresh(ctx); err != nil {
		return nil, err
	}
	var t *stored.Transaction
	metastore.View(l.replica(), func(s *stored.State) { t = s.Get(id) })
	if t == nil {
		return nil, ErrNotFound
	}
	return t, nil
}

// List returns the ids that this agent coordinates and keep holds for, by id.
func (c *Coordinator) List(ctx context.Context, keep func(t *stored.Transaction) bool) ([]*stored.Transaction, error) {
	var owned []*lane
	var journals []metastore.JournalID
	for _, l := range c.lanes {
		if c.owns(l.journal) {
			owned, journals = append(owned, l), append(journals, metastore.TransactionsJournal(l.journal))
		}
	}
	if err := c.refresh(ctx, journals); err != nil {
		return nil, err
	}
	var list []*stored.Transaction
	for _, l := range owned {
		metastore.View(l.replica(), func(s *stored.State) {
			for _, id := range s.IDs() {
				if t := s.Get(id); keep(t) {
					list = append(list, t)
				}
			}
		})
	}
	slices.SortFunc(list, func(a, b *stored.Transaction) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// OfProducer returns the id that a producer id belongs to, nil for none, as the journals
// have it now. It reads all of them.
func (c *Coordinator) OfProducer(ctx context.Context, producer int64) (*stored.Transaction, error) {
	var journals []metastore.JournalID
	for i := range c.lanes {
		journals = append(journals, metastore.TransactionsJournal(i))
	}
	if err := c.refresh(ctx, journals); err != nil {
		return nil, err
	}
	var t *stored.Transaction
	for _, l := range c.lanes {
		metastore.View(l.replica(), func(s *stored.State) {
			if of := s.ByProducer(producer); of != nil {
				t = of
			}
		})
	}
	return t, nil
}

func (c *Coordinator) refresh(ctx context.Context, journals []metastore.JournalID) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RefreshMax)
	defer cancel()
	if err := c.deps.Follower.Refresh(ctx, journals...); err != nil {
		return unavailable(err)
	}
	return nil
}
