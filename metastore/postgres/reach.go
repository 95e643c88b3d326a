package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wadi-io/wadi/metastore"
)

// errStandby: it may be promoted, or the URL may lead elsewhere in a moment.
var errStandby = errors.New("this Postgres is a standby: the metastore's URL must name the primary")

// isStandby tells whether a statement was refused since the server takes no writes. Its connections
// work as well as any, so nobody else ends them: they were made while the name, or a
// proxy, still led there.
func isStandby(code string) bool {
	return code == "25006" || // it is read only
		code == "55000" // recovery is in progress: it has no place in the log of its own
}

// validated is a check of a new connection (target_session_attrs) whose refusal may pass.
func validated(check pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	if check == nil {
		return nil
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		err := check(ctx, conn)
		var notPreferred *pgconn.NotPreferredError // pgx looks for it; it connects all the same
		if err == nil || errors.As(err, &notPreferred) {
			return err
		}
		return &unreachableError{err}
	}
}

// unreachableError is an error that passes by itself.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string   { return e.err.Error() }
func (e *unreachableError) Unwrap() []error { return []error{e.err, metastore.ErrUnreachable} }

// reached marks an error as metastore.ErrUnreachable if it is such a one.
func reached(err error) error {
	if err == nil || !passes(err) {
		return err
	}
	return &unreachableError{err}
}

// passes tells whether an error passes by itself: nothing of it needs somebody to change
// the agent's settings, or the server's.
func passes(err error) bool {
	passing, mistaken := false, false
	for leaf := range leaves(err) {
		switch e := leaf.(type) {
		case *pgconn.PgError:
			if passingState(e.Code) {
				passing = true
			} else {
				mistaken = true
			}
		case *tls.CertificateVerificationError, tls.RecordHeaderError, *tls.RecordHeaderError, tls.AlertError:
			mistaken = true
		case *net.OpError:
			// What TLS refuses comes as an error of the network, too.
			if e.Op == "remote error" || e.Op == "local error" {
				mistaken = true
			} else {
				passing = true
			}
		case net.Error:
			passing = true
		default:
			passing = passing || leaf == errStandby || leaf == metastore.ErrUnreachable ||
				leaf == io.EOF || leaf == io.ErrUnexpectedEOF || leaf == context.DeadlineExceeded || leaf == pgconn.ErrConnClosed
		}
	}
	return passing && !mistaken
}

// passingState tells whether what the server refused by a SQLSTATE it may take later.
func passingState(code string) bool {
	for _, class := range []string{
		"08", // connections; PgBouncer says so of a server that it can't reach
		"40", // deadlocks
		"53", // resources: connections, memory, disk
	} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return slices.Contains([]string{
		"25006", // read only: a primary that has become a standby
		"55P03", // a lock was not to be had in time
		"57014", // cancelled
		"57P01", // shut down by an operator
		"57P02", // crashed
		"57P03", // starting or stopping
		"57P05", // idle for too long
	}, code)
}

// leaves yields what an error wraps, that which wraps others left out, but for the
// types that say more than what is in them.
func leaves(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	switch err.(type) {
	case *pgconn.PgError, *tls.CertificateVerificationError, *net.OpError, *net.DNSError:
		return yield(err)
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		if inner := w.Unwrap(); inner != nil {
			return walk(inner, yield)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range w.Unwrap() {
			if inner != nil && !walk(inner, yield) {
				return false
			}
		}
		return true
	}
	return yield(err)
}
