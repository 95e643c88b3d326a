//go:build !linux

package postgres

import "syscall"

// boundSilence does nothing here: keepalives and the kernel's own limit on
// retransmissions notice a dead connection, later.
func boundSilence(_, _ string, _ syscall.RawConn) error { return nil }
