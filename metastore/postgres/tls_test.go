package postgres

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
)

// TestOpen_VerifyFull: with sslmode=verify-full the server must have a certificate of the
// CA that is named, and for the host name that is in the URL.
func TestOpen_VerifyFull(t *testing.T) {
	plain := server.Database(t)
	ca, another := server.TLS(t)
	url := func(host, mode, ca string) string {
		u := strings.Replace(strings.Replace(plain, "127.0.0.1", host, 1), "sslmode=disable", "sslmode="+mode, 1)
		return with(u, "sslrootcert="+ca)
	}
	s := openStore(t, url("localhost", "verify-full", ca))
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "1"))
	var encrypted bool
	if err := s.pool.QueryRow(t.Context(), "select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("encrypted: %v, %v", encrypted, err)
	}
	for what, bad := range map[string]string{
		"another host name": url("127.0.0.1", "verify-full", ca),
		"another CA":        url("localhost", "verify-full", another),
	} {
		s, err := Open(t.Context(), bad, metastore.DefaultCluster())
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", what)
			continue
		}
		var host x509.HostnameError
		var authority x509.UnknownAuthorityError
		if !errors.As(err, &host) && !errors.As(err, &authority) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The name is what verify-full adds.
	openStore(t, url("127.0.0.1", "verify-ca", ca))
}
