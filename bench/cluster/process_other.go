//go:build !linux

package cluster

import "syscall"

// processAttributes: a group of its own.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
