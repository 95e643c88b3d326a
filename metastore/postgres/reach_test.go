package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// TestReached_WhatPasses: an error that passes by itself is told from a mistake, also
// where several hosts, or TLS and none, were tried.
func TestReached_WhatPasses(t *testing.T) {
	said := func(code string) error { return &pgconn.PgError{Code: code} }
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, row := range []struct {
		what   string
		err    error
		passes bool
	}{
		{"nobody listens", refused, true},
		{"no such host, yet", &net.DNSError{Err: "no such host"}, true},
		{"no answer in time", fmt.Errorf("dial: %w", context.DeadlineExceeded), true},
		{"cut off", io.ErrUnexpectedEOF, true},
		{"starting", said("57P03"), true},
		{"shut down", said("57P01"), true},
		{"too many connections", said("53300"), true},
		{"a pooler without a server", said("08P01"), true},
		{"a migration that another transaction holds up", said("55P03"), true},
		{"a standby", errStandby, true},
		{"two hosts, one down, one a standby", errors.Join(refused, errStandby), true},
		{"without TLS, and starting", errors.Join(errors.New("server refused TLS connection"), said("57P03")), true},
		{"stopped on purpose", context.Canceled, false},
		{"a wrong password", said("28P01"), false},
		{"no entry in pg_hba.conf", said("28000"), false},
		{"no such database", said("3D000"), false},
		{"no right to the schema", said("42501"), false},
		{"two hosts, one down, one refuses the password", errors.Join(refused, said("28P01")), false},
		{"a certificate of another CA", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, false},
		{"a client's certificate that the server doesn't take", &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, false},
		{"not Postgres", errors.New("unexpected message"), false},
		{"fsync=off", serverSettings{version: serverVersionMin, fsync: "off"}.check(), false},
	} {
		wrapped := reached(fmt.Errorf("connect to Postgres: %w", row.err))
		if got := errors.Is(wrapped, metastore.ErrUnreachable); got != row.passes {
			t.Errorf("%s: unreachable: %v", row.what, got)
		}
		if !errors.Is(wrapped, row.err) || !strings.Contains(wrapped.Error(), row.err.Error()) {
			t.Errorf("%s: %v", row.what, wrapped)
		}
	}
	if reached(nil) != nil {
		t.Error("no error is an error")
	}
}

// TestOpen_Unreachable asks real servers.
func TestOpen_Unreachable(t *testing.T) {
	var own postgrestest.Server
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	url, err := own.Create(t.Context(), "wadi")
	if err != nil {
		t.Fatal(err)
	}
	pooled := with(own.Bouncer(t, url), "connect_timeout=2")
	open := func(url string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := Open(ctx, url, metastore.DefaultCluster())
		if err == nil {
			s.Close()
		}
		return err
	}
	check := func(what, url string, unreachable bool) {
		t.Helper()
		if err := open(url); err == nil || errors.Is(err, metastore.ErrUnreachable) != unreachable {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
	nowhere := strings.Replace(url, "/wadi?", "/nowhere?", 1)
	check("no such database", nowhere, false)
	if err := own.Exec(t.Context(), "create role few login connection limit 0"); err != nil {
		t.Fatal(err)
	}
	check("no connection left", strings.Replace(url, "wadi@", "few@", 1), true)
	if err := own.Crash(); err != nil {
		t.Fatal(err)
	}
	check("the server is down", url, true)
	check("the pooler's server is down", pooled, true)
	if err := own.Recover(); err != nil {
		t.Fatal(err)
	}
	if err := open(url); err != nil {
		t.Error(err)
	}
}

// TestOpen_Standby: a standby may be promoted.
func TestOpen_Standby(t *testing.T) {
	pair := postgrestest.NewPair(t, true)
	if _, err := pair.Create(t.Context(), "wadi"); err != nil {
		t.Fatal(err)
	}
	if err := pair.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	url := pair.Standby().URL("wadi")
	for _, url := range []string{url, with(url, "target_session_attrs=read-write")} {
		if _, err := Open(t.Context(), url, metastore.DefaultCluster()); !errors.Is(err, metastore.ErrUnreachable) {
			t.Errorf("%v", err)
		}
	}
}
