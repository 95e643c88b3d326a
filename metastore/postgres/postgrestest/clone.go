package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// clone starts a standby of the server on a copy of its data. It takes the copy
// itself: pg_basebackup is not among the binaries that are fetched.
func (s *Server) clone(ctx context.Context) (*Server, error) {
	c := &Server{account: s.account, bin: s.bin}
	var err error
	if c.dir, err = c.account.folder(); err != nil {
		return nil, err
	}
	if err := s.copyTo(ctx, c); err != nil {
		os.RemoveAll(c.dir)
		return nil, fmt.Errorf("copy the primary: %w", err)
	}
	for range portTries {
		if c.port, err = freePort(); err != nil {
			break
		}
		if err = c.launch(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	if err != nil {
		os.RemoveAll(c.dir)
		return nil, err
	}
	return c, nil
}

// copyTo makes an online backup in the other's folder, set up as a standby.
func (s *Server) copyTo(ctx context.Context, c *Server) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // ends a backup that was not stopped
	begin, end := "select pg_backup_start('clone', true)", "select labelfile from pg_backup_stop(false)"
	var version int
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::integer").Scan(&version); err != nil {
		return err
	}
	if version < 150000 {
		begin, end = "select pg_start_backup('clone', true, false)", "select labelfile from pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, begin); err != nil {
		return err
	}
	if err := s.copyFiles(c); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, end).Scan(&label); err != nil {
		return err
	}
	stream := fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=wadi sslmode=disable'\n", s.port)
	for name, content := range map[string]string{"backup_label": label, "standby.signal": "", "postgresql.auto.conf": stream} {
		path := filepath.Join(c.data(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
		if err := c.account.own(path); err != nil {
			return err
		}
	}
	return nil
}

// copyFiles copies the data folder but for what belongs to the running server and
// its log, which the standby asks for.
func (s *Server) copyFiles(c *Server) error {
	return filepath.WalkDir(s.data(), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a table that was dropped meanwhile
		}
		if err != nil {
			return err
		}
		within, err := filepath.Rel(s.data(), path)
		if err != nil {
			return err
		}
		to := filepath.Join(c.data(), within)
		switch {
		case entry.IsDir():
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
		case strings.HasPrefix(within, "postmaster."), filepath.Dir(within) == "pg_wal", !entry.Type().IsRegular():
			return nil
		default:
			if err := copyFile(to, path); errors.Is(err, fs.ErrNotExist) {
				return nil
			} else if err != nil {
				return err
			}
		}
		return c.account.own(to)
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
