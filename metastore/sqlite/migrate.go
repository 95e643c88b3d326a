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

// migrations returns the steps of the schema in order; a step's number is its
// place, from 1, and the file's user_version once it has been taken.
func migrations() ([]string, error) {
	files, err := fs.ReadDir(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	all := make([]string, len(files))
	for i, f := range files {
		if len(f.Name()) < 4 || f.Name()[:4] != fmt.Sprintf("%04d", i+1) {
			return nil, fmt.Errorf("migration %s should be number %d", f.Name(), i+1)
		}
		body, err := fs.ReadFile(migrationFiles, "migrations/"+f.Name())
		if err != nil {
			return nil, err
		}
		all[i] = string(body)
	}
	return all, nil
}

// migrate brings the file to this release's state, all of it or nothing.
func (s *Store) migrate(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
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
	case done > len(all):
		return fmt.Errorf("it is at migration %d, this release knows %d: %w", done, len(all), metastore.ErrNewerSchema)
	case done == len(all):
		return nil
	}
	for i := done; i < len(all); i++ {
		if _, err := tx.ExecContext(ctx, all[i]); err != nil {
			return fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	// Pragmas take no parameters; both are part of the transaction.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("pragma application_id = %d; pragma user_version = %d", applicationID, len(all))); err != nil {
		return err
	}
	return tx.Commit()
}
