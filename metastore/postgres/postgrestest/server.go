package postgrestest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Server is one Postgres for all tests of a package. Its zero value is ready;
// it starts with the first test that asks for a database:
//
//	var server postgrestest.Server
//
//	func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
type Server struct {
	start     sync.Once
	err       error // why it did not start
	account   account
	dir       string
	bin       string // the folder of its programs
	port      int
	process   *process
	databases atomic.Int64
}

// portTries bounds the attempts to find a port that nobody takes in between.
const portTries = 5

// Main runs the tests and stops the server after them. It returns the exit code.
func (s *Server) Main(m *testing.M) int {
	defer s.close()
	return m.Run()
}

// Database makes an empty database, and returns its URL. It is dropped when the
// test ends.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.start.Do(func() { s.err = s.open() })
	if s.err != nil {
		t.Fatalf("a Postgres for the tests: %v", s.err)
	}
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	s.exec(t, "create database "+name)
	t.Cleanup(func() { s.exec(t, "drop database "+name+" with (force)") })
	return s.url(name)
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://wadi@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

func (s *Server) exec(t testing.TB, sql string) {
	t.Helper()
	ctx := context.Background() // also runs in Cleanup, when the test's own has ended
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		t.Fatalf("connect to the tests' Postgres: %v\n%s", err, s.process.lastLines())
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// open makes a data folder and starts a server on it.
func (s *Server) open() error {
	var err error
	if s.account, err = newAccount(); err != nil {
		return err
	}
	if s.dir, err = s.account.folder(); err != nil {
		return err
	}
	if s.bin, err = findPostgres(s.dir); err != nil {
		return err
	}
	init := s.account.command(s.dir, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", "wadi",
		"--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	for range portTries {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	return err
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch starts the server on its data folder and port.
func (s *Server) launch() (err error) {
	s.process, err = s.account.start(s.dir, "QUIT", "ready to accept", nil, // a standby adds: read-only
		filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=on",
		"-c", "max_connections=200", "-c", "wal_keep_size=256MB", "-c", "logging_collector=off", "-c", "log_destination=stderr")
	return err
}

func (s *Server) close() {
	if s.process != nil {
		s.process.stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
