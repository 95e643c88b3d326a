package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/wadi-io/wadi/metastore"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Its number is the file's user_version once
// it has been taken.
type migration struct {
	number int
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
		all[i] = migration{number, string(body)}
	}
	return all, nil
}

// migrate brings the file to this release's state, all of it or nothing.
func (s *Store) migrate(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	last := all[len(all)-1].number
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing once it has committed
	var application, done, tables int
	if err := tx.QueryRowContext(ctx, "pragma application_id").Scan(&application); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "pragma user_version").Scan(&done); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "select count(*) from sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	switch {
	case application != applicationID && (tables > 0 || application != 0 || done != 0):
		return metastore.ErrForeignSchema
	case done > last:
		return fmt.Errorf("it is at migration %d, this release knows %d: %w", done, last, metastore.ErrNewerSchema)
	case done == last:
		return nil
	}
	for _, m := range all {
		if m.number <= done {
			continue
		}
		if _, err := tx.ExecContext(ctx, m.sql); err != nil {
			return fmt.Errorf("migration %d: %w", m.number, err)
		}
	}
	// Pragmas take no parameters; both are part of the transaction.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("pragma application_id = %d; pragma user_version = %d", applicationID, last)); err != nil {
		return err
	}
	return tx.Commit()
}
