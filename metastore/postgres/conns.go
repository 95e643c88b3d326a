package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// errCut: what a statement committed is there, and others see it, but the synchronous
// standby may lack it. Its outcome is unknown, as if the answer had been lost.
var errCut = errors.New("the server stopped waiting for its synchronous standby: what was committed may be lost with it")

// waitForStandby is the function of Postgres that waits for the synchronous standby, as its
// messages name their source in any language. It has nothing to say but that the wait was cut off.
const waitForStandby = "SyncRepWaitForLSN"

// cutOff is the key of a connection's data that says that a wait was cut off.
const cutOff = "wadi cut off"

// noteCuts notes on a connection that the server stopped waiting for its standby.
// The statement succeeds nevertheless: a warning is all that tells.
func noteCuts(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == waitForStandby {
		c.CustomData()[cutOff] = true
	}
}

// conns is a pool. A statement that it runs succeeds only if the server also waited
// for its standby, where it has one to wait for.
type conns struct{ *pgxpool.Pool }

// run lends a connection to f.
func (p conns) run(ctx context.Context, f func(c *pgx.Conn) error) error {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	seen := conn.Conn().PgConn().CustomData()
	delete(seen, cutOff)
	err = f(conn.Conn())
	if seen[cutOff] == true && err == nil {
		return errCut
	}
	return err
}

// Exec is a pool's.
func (p conns) Exec(ctx context.Context, sql string, args ...any) (done pgconn.CommandTag, err error) {
	err = p.run(ctx, func(c *pgx.Conn) error {
		done, err = c.Exec(ctx, sql, args...)
		return err
	})
	return done, err
}

// QueryRow is a pool's. The statement is sent by Scan.
func (p conns) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return row{p, ctx, sql, args}
}

type row struct {
	conns conns
	ctx   context.Context // of a call that Scan completes
	sql   string
	args  []any
}

// Scan implements pgx.Row. It returns after the statement's commit.
func (r row) Scan(dest ...any) error {
	return r.conns.run(r.ctx, func(c *pgx.Conn) error { return c.QueryRow(r.ctx, r.sql, r.args...).Scan(dest...) })
}

// each hands the rows of a statement to scan, and returns after its commit.
func (p conns) each(ctx context.Context, sql string, scan func(rows pgx.Rows) error, args ...any) error {
	return p.run(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		rows.Close()
		return rows.Err()
	})
}
