package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Start starts the server for a program that is no test. Stop ends it; it ends
// with the program, too.
func (s *Server) Start() error {
	s.start.Do(func() { s.err = s.open() })
	return s.err
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() { s.close() }

// Address is where the server listens.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is the URL of a database.
func (s *Server) URL(database string) string { return s.url(database) }

// Create makes an empty database and returns its URL.
func (s *Server) Create(ctx context.Context, name string) (url string, err error) {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	return s.url(name), nil
}

// PID is the number of the server's first process, whose children the others are.
func (s *Server) PID() (int, error) {
	content, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the server's process: %w", err)
	}
	first, _, _ := bytes.Cut(content, []byte{'\n'})
	pid, err := strconv.Atoi(string(first))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("find the server's process: %q is none", first)
	}
	return pid, nil
}

// LogBytes is how much the server has written to its log (WAL) so far, in bytes.
func (s *Server) LogBytes(ctx context.Context) (written int64, err error) {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8").Scan(&written)
	return written, err
}

// Crash ends the server as a power cut would: nothing is said to anyone, nothing
// is written any more. Recover starts it again.
func (s *Server) Crash() error {
	pid, err := s.PID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the server: %w", err)
	}
	<-s.process.ended
	s.process.cmd.Wait()
	return nil
}

// Recover starts the server after a crash, on the same data and port.
func (s *Server) Recover() error { return s.launch() }
