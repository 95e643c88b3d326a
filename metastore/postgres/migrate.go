package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema.
type migration struct {
	number int
	name   string
	sql    string
}

// migrations returns the steps in the order of their numbers, which open their files' names.
func migrations() ([]migration, error) {
	files, err := fs.ReadDir(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	all := make([]migration, len(files))
	for i, f := range files {
		var number int
		if _, err := fmt.Sscanf(f.Name(), "%04d_", &number); err != nil || number < 1 || i > 0 && number <= all[i-1].number {
			return nil, fmt.Errorf("migration %s has no number of its own", f.Name())
		}
		body, err := fs.ReadFile(migrationFiles, "migrations/"+f.Name())
		if err != nil {
			return nil, err
		}
		all[i] = migration{number: number, name: f.Name(), sql: string(body)}
	}
	return all, nil
}

// lockWaitSQL bounds the wait for a table's lock: appends queue behind a migration that
// waits for a long transaction. Nothing is changed then, and it can be tried again.
const lockWaitSQL = `set local lock_timeout = '5s'`

const lockMigrationsSQL = `select pg_advisory_xact_lock(hashtextextended($1, 0))`

// migrate brings the schema to this release's state. Whoever comes second waits
// for the first and finds nothing to do.
func (s *Store) migrate(ctx context.Context, schema string) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	last := all[len(all)-1].number
	done, err := s.migrated(ctx, s.pool, schema, last)
	if err != nil || done == last {
		return err
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate the metastore: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // nothing once it has committed
	if _, err := tx.Exec(ctx, s.sql[lockMigrationsSQL], "wadi migrations "+schema); err != nil {
		return fmt.Errorf("lock the metastore's migrations: %w", err)
	}
	if _, err := tx.Exec(ctx, s.sql[lockWaitSQL]); err != nil {
		return fmt.Errorf("migrate the metastore: %w", err)
	}
	if done, err = s.migrated(ctx, tx, schema, last); err != nil {
		return err
	}
	for i := range all {
		if all[i].number <= done {
			continue
		}
		sql := moveTo(schema, all[i].sql)
		if i == 0 {
			// Asked for only where it is missing: it takes a right on the database that its owner may keep.
			sql = "create schema if not exists " + pgx.Identifier{schema}.Sanitize() + ";\n" + sql
			var exists bool
			if err := tx.QueryRow(ctx, "select to_regnamespace($1) is not null", schema).Scan(&exists); err != nil {
				return fmt.Errorf("look for the schema %s: %w", schema, err)
			} else if exists {
				sql = moveTo(schema, all[i].sql)
			}
		}
		// Several statements in one message, without parameters.
		if _, err := tx.Conn().PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("migrate the metastore by %s: %w", all[i].name, err)
		}
		if _, err := tx.Exec(ctx, s.sql[tookSQL], all[i].number, all[i].name); err != nil {
			return fmt.Errorf("note the migration %s: %w", all[i].name, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("migrate the metastore: %w", err)
	}
	return nil
}

const lookSQL = `select
	exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1),
	exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = 'migrations')`

const migratedSQL = `select coalesce(max(number), 0) from wadi.migrations`

const tookSQL = `insert into wadi.migrations (number, name) values ($1, $2)`

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// migrated returns how many of the migrations the schema has had. It refuses a
// schema that is not ours or that has had more.
func (s *Store) migrated(ctx context.Context, q querier, schema string, known int) (int, error) {
	var inUse, ours bool
	if err := q.QueryRow(ctx, s.sql[lookSQL], schema).Scan(&inUse, &ours); err != nil {
		return 0, fmt.Errorf("look into the schema %s: %w", schema, err)
	}
	if !inUse {
		return 0, nil
	}
	if !ours {
		return 0, fmt.Errorf("schema %s: %w", schema, metastore.ErrForeignSchema)
	}
	var done int
	if err := q.QueryRow(ctx, s.sql[migratedSQL]).Scan(&done); err != nil {
		return 0, errors.Join(fmt.Errorf("schema %s: %w", schema, metastore.ErrForeignSchema), err)
	}
	if done > known {
		return 0, fmt.Errorf("schema %s is at migration %s, this release knows %d: %w",
			schema, strconv.Itoa(done), known, metastore.ErrNewerSchema)
	}
	return done, nil
}
