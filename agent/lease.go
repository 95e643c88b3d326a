package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// keepLease renews the term's lease three times in its length, and says which segments are
// settled, until ctx ends or the lease is lost. Fencing is the database's work; giving up here only spares
// clients from waiting on a term that can commit nothing.
func keepLease(ctx context.Context, store metastore.Store, clock *clock, term metastore.Term, lease time.Duration, settled func() uint64, log *slog.Logger) error {
	tick := time.NewTicker(lease / 3)
	defer tick.Stop()
	renewed := time.Now()
	trouble := metastore.Trouble{Log: log, Level: slog.LevelWarn, Begun: "the lease can't be renewed; the term ends when it has run out", Over: "the lease is renewed again"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		began := time.Now()
		renewal, cancel := context.WithTimeout(ctx, lease/3)
		err := store.RenewTerm(renewal, term, lease, settled())
		if err == nil {
			renewed = began
			err = clock.read(renewal, store)
		}
		cancel()
		switch {
		case err == nil:
			trouble.End()
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, metastore.ErrTermEnded):
			return fmt.Errorf("renew the lease of term %d: %w", term, err)
		case time.Since(renewed) >= lease:
			return fmt.Errorf("the lease of term %d could not be renewed for %v: %w", term, lease, err)
		default:
			trouble.Meet(err, "term", term, "left", (lease - time.Since(renewed)).Round(time.Millisecond))
		}
	}
}
