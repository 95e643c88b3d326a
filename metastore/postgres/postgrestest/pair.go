package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Pair is a primary and a standby that streams from it, for tests and programs
// that fail over. Its methods are for one goroutine.
//
// An asynchronous pair loses its tail when told to: Cut, append, FailOver. A
// synchronous one (every commit waits for the standby) never does: FailOver alone.
type Pair struct {
	Synchronous bool

	primary *Server
	standby *Server // nil after a fail-over, until Rejoin
	cut     bool
}

// NewPair starts a pair that ends with the test.
func NewPair(t testing.TB, synchronous bool) *Pair {
	t.Helper()
	p := &Pair{Synchronous: synchronous}
	if err := p.Start(t.Context()); err != nil {
		t.Fatalf("a pair of Postgres for the tests: %v", err)
	}
	t.Cleanup(p.Stop)
	return p
}

// Start starts both, and returns once the standby streams.
func (p *Pair) Start(ctx context.Context) error {
	p.primary = &Server{}
	if err := p.primary.Start(); err != nil {
		return err
	}
	if err := p.Rejoin(ctx); err != nil {
		p.Stop()
		return err
	}
	return nil
}

// StartAlone starts the primary only; Rejoin adds a standby.
func (p *Pair) StartAlone() error {
	p.primary = &Server{}
	return p.primary.Start()
}

// Stop ends both and removes their folders.
func (p *Pair) Stop() {
	for _, s := range []*Server{p.standby, p.primary} {
		if s != nil {
			s.Stop()
		}
	}
}

// Primary is the server that takes writes: at first the one that was made first,
// after a fail-over the other.
func (p *Pair) Primary() *Server { return p.primary }

// Standby is the server that streams from the primary, nil after a fail-over.
func (p *Pair) Standby() *Server { return p.standby }

// Create makes an empty database and returns a URL that names both servers:
// whoever connects reaches the one that takes writes. A server that joins later
// isn't in it; ask URL again.
func (p *Pair) Create(ctx context.Context, database string) (url string, err error) {
	if _, err := p.primary.Create(ctx, database); err != nil {
		return "", err
	}
	return p.URL(database), nil
}

// URL names both servers, as libpq reads it.
func (p *Pair) URL(database string) string {
	if p.standby == nil {
		return p.primary.url(database)
	}
	return fmt.Sprintf("postgres:///%s?host=127.0.0.1,127.0.0.1&port=%d,%d&user=wadi&sslmode=disable&target_session_attrs=read-write",
		database, p.primary.port, p.standby.port)
}

// Cut ends the stream: what the primary commits from now on never reaches the
// standby. Not for a synchronous pair, whose commits would wait for ever: Hold.
func (p *Pair) Cut(ctx context.Context) error {
	if p.Synchronous {
		return errors.New("cut a synchronous pair: its commits would wait for ever")
	}
	return p.Hold(ctx)
}

// Hold ends the stream of any pair. The commits of a synchronous one wait from now on,
// until FailOver.
func (p *Pair) Hold(ctx context.Context) error {
	if err := p.standby.Exec(ctx, "alter system set primary_conninfo = ''", "select pg_reload_conf()"); err != nil {
		return err
	}
	p.cut = true
	return p.standby.await(ctx, "select not exists (select from pg_stat_wal_receiver)")
}

// FailOver crashes the primary, and returns once the standby takes writes. What
// the standby never received is lost.
func (p *Pair) FailOver(ctx context.Context) error {
	if err := p.primary.Crash(); err != nil {
		return err
	}
	return p.Promote(ctx)
}

// Promote makes the standby the primary. The one before is not told: unless it is
// dead, both take writes.
func (p *Pair) Promote(ctx context.Context) error {
	if err := p.standby.Exec(ctx, "select pg_promote(true, 60)"); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	old := p.primary
	p.primary, p.standby = p.standby, nil
	old.Stop()
	return p.primary.await(ctx, "select not pg_is_in_recovery()")
}

// Rejoin adds a new standby, on a copy of the primary's data, to a primary that
// has none. It returns once the standby streams, which a synchronous primary waits for from then on.
func (p *Pair) Rejoin(ctx context.Context) (err error) {
	if p.standby != nil {
		return errors.New("there is a standby already")
	}
	if p.standby, err = p.primary.clone(ctx); err != nil {
		return err
	}
	p.cut = false
	if err := p.primary.await(ctx, "select exists (select from pg_stat_replication where state = 'streaming')"); err != nil || !p.Synchronous {
		return err
	}
	if err := p.primary.Exec(ctx, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"); err != nil {
		return err
	}
	return p.primary.await(ctx, "select exists (select from pg_stat_replication where sync_state = 'sync')")
}

// CatchUp returns once the standby has replayed all that the primary has written.
func (p *Pair) CatchUp(ctx context.Context) error {
	if p.cut {
		return errors.New("the standby was cut off")
	}
	return p.primary.await(ctx, "select bool_and(replay_lsn >= pg_current_wal_lsn()) from pg_stat_replication")
}

// Exec runs statements one by one, each in a transaction of its own, as the server's owner.
func (s *Server) Exec(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// await asks until the answer is true.
func (s *Server) await(ctx context.Context, question string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		var yes *bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil {
			return fmt.Errorf("%s: %w", question, err)
		}
		if yes != nil && *yes {
			return nil
		}
		if _, err := conn.Exec(ctx, "select pg_sleep(0.01)"); err != nil {
			return fmt.Errorf("%s: %w", question, err)
		}
	}
}
