package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/recovery"
	"github.com/wadi-io/wadi/metastore"
)

// movable is a metastore whose server may become another, as Postgres does when it fails over.
type movable interface {
	Witness(w metastore.Witness)
	Settle(ctx context.Context) error
}

// compare compares the journals with the bucket, now and whenever the metastore is
// another server than before. A journal that lost its tail is not served, and says so.
func compare(ctx context.Context, store metastore.Store, b bucket.Bucket, log *slog.Logger) error {
	s, ok := store.(recovery.Store)
	if !ok {
		return nil // given, and whole as far as its owner knows
	}
	witness := recovery.Witness(b, s)
	if m, ok := store.(movable); ok {
		m.Witness(witness)
		if err := m.Settle(ctx); err != nil {
			return fmt.Errorf("confirm the metastore's server: %w", err)
		}
	}
	lost, err := recovery.Check(ctx, s, witness)
	for _, l := range lost {
		log.Error("a journal has lost its tail; wadi metastore recover says what can be done",
			"journal", l.Journal, "head", l.Head, "seen", l.Seen, "found", l.FoundAt)
	}
	return err
}

// Maintenance is a metastore and its bucket, opened for a look or a repair; no agent runs.
type Maintenance struct {
	Store  recovery.Store
	Bucket bucket.Bucket

	close []func() error
}

// OpenMaintenance opens both and checks that they belong together.
func OpenMaintenance(ctx context.Context, metastoreURL, bucketURL string) (*Maintenance, error) {
	m := &Maintenance{}
	if err := m.open(ctx, metastoreURL, bucketURL); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Maintenance) open(ctx context.Context, metastoreURL, bucketURL string) error {
	b, closer, err := bucket.Open(ctx, bucketURL)
	if err != nil {
		return err
	}
	m.close = append(m.close, closer.Close)
	m.Bucket = bucket.Retry(b, bucket.DefaultRetryConfig())
	store, err := OpenStore(ctx, metastoreURL)
	if err != nil {
		return err
	}
	m.close = append(m.close, store.Close)
	if _, err := b.Get(ctx, claimKey, 0, -1); err != nil {
		return fmt.Errorf("read whose bucket it is: %w", err)
	}
	if err := claimBucket(ctx, m.Bucket, store); err != nil {
		return err
	}
	m.Store = store.(recovery.Store)
	if moved, ok := store.(movable); ok {
		moved.Witness(recovery.Witness(m.Bucket, m.Store))
		return moved.Settle(ctx)
	}
	return nil
}

// Close closes both.
func (m *Maintenance) Close() error {
	var errs []error
	for i := len(m.close) - 1; i >= 0; i-- {
		errs = append(errs, m.close[i]())
	}
	return errors.Join(errs...)
}

// OpenStore opens the metastore that a URL names, migrates it, and makes the cluster if
// there is none yet.
func OpenStore(ctx context.Context, url string) (metastore.Store, error) { return openStore(ctx, url) }
