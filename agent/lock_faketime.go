//go:build faketime

package agent

import "errors"

// folderLock is never made: bench/simulation builds agents with this tag, where no
// folder is used.
type folderLock struct{}

func lockFolder(string) (*folderLock, error) { return nil, errors.New("folders can't be locked here") }

// Close lets other processes in.
func (*folderLock) Close() error { return nil }
