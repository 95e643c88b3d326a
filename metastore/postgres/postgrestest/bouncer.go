package postgrestest

import (
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

//go:embed fetch-pgbouncer.sh
var fetchScript string

// Bouncer puts PgBouncer in transaction mode in front of a database, and returns
// the database's URL through it. It ends with the test.
func (s *Server) Bouncer(t testing.TB, database string) string {
	t.Helper()
	through, err := s.bouncer(t, database)
	if err != nil {
		t.Fatalf("PgBouncer for the tests: %v", err)
	}
	return through
}

func (s *Server) bouncer(t testing.TB, database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	dir, err := s.account.folder()
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name, env, err := findBouncer(dir)
	if err != nil {
		return "", err
	}
	for range portTries {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		// Round robin: consecutive statements of one client land on different server
		// connections, as they do in production under load.
		config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d user=wadi
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 30
server_round_robin = 1
max_client_conn = 200
`, s.port, port)
		file := filepath.Join(dir, "pgbouncer.ini")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			return "", err
		}
		p, err := s.account.start(dir, "KILL", "process up", env, name, file)
		if err != nil && strings.Contains(err.Error(), "in use") {
			continue
		}
		if err != nil {
			return "", err
		}
		t.Cleanup(p.stop)
		u.Host = "127.0.0.1:" + strconv.Itoa(port)
		return u.String(), nil
	}
	return "", errors.New("no free port")
}

// findBouncer returns the installed pgbouncer, or one that the script fetched,
// and the environment that it needs.
func findBouncer(dir string) (name string, env []string, err error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil, nil
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, err
	}
	target := filepath.Join(cache, "wadi", "pgbouncer")
	if os.Geteuid() == 0 {
		target = filepath.Join(dir, "fetched") // nobody can't look into root's cache folder
	}
	out, err := exec.Command("/bin/sh", "-c", fetchScript, "fetch-pgbouncer.sh", target).CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("no pgbouncer is installed (apt-get install pgbouncer), and none could be fetched: %w\n%s", err, out)
	}
	return filepath.Join(target, "pgbouncer"), []string{"LD_LIBRARY_PATH=" + filepath.Join(target, "lib")}, nil
}
