package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// writeTx is a transaction of the one connection that writes.
type writeTx struct {
	ctx   context.Context
	store *Store
	tx    *sql.Tx
	now   int64 // microseconds since 1970, by the store's clock
}

// write runs f in a transaction that holds the write lock from its begin, and
// commits unless f returns an error, which it passes on as it is.
func (s *Store) write(ctx context.Context, what string, f func(tx *writeTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A cancelled commit would leave its caller in doubt for nothing: it takes one sync.
	ctx = context.WithoutCancel(ctx)
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := f(&writeTx{ctx, s, tx, s.clock().UnixMicro()}); err != nil {
		tx.Rollback() // the connection is of no more use if that fails, and the pool drops it
		return err
	}
	if err := tx.Commit(); err != nil {
		tx.Rollback()
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (t *writeTx) row(statement string, args ...any) *sql.Row {
	return t.tx.StmtContext(t.ctx, t.store.statements[statement]).QueryRowContext(t.ctx, args...)
}

// exec returns the number of rows changed.
func (t *writeTx) exec(statement string, args ...any) (int64, error) {
	result, err := t.tx.StmtContext(t.ctx, t.store.statements[statement]).ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
