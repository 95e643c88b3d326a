package cluster

import "syscall"

// processAttributes: a group of its own, and an end with ours, however we end.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
