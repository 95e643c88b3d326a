package measure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc's times: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// stat is what /proc/PID/stat says.
type stat struct {
	parent        int
	own, children time.Duration // user + system; children: those that have been waited for
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name stands in brackets and may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const parent, user, system, childUser, childSystem = 1, 11, 12, 13, 14
	if len(fields) <= childSystem {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	number := func(i int) int64 {
		n, parseErr := strconv.ParseInt(string(fields[i]), 10, 64)
		err = errors.Join(err, parseErr)
		return n
	}
	s := stat{
		parent:   int(number(parent)),
		own:      time.Duration(number(user)+number(system)) * tick,
		children: time.Duration(number(childUser)+number(childSystem)) * tick,
	}
	return s, err
}

// CPU is the user and system time of a process so far.
func CPU(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.own, err
}

// CPUTree is that of a process with its children, those that have ended included.
func CPUTree(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	sum := s.own + s.children
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return 0, err
		}
		s, err := readStat(child)
		if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process") {
			continue // It has ended meanwhile; its parent has its time.
		}
		if err != nil {
			return 0, err
		}
		if s.parent == pid {
			sum += s.own
		}
	}
	return sum, nil
}

// RSS is the resident memory of a process, in bytes.
func RSS(pid int) (int64, error) { return statusBytes(pid, "VmRSS:") }

// RSSMax is the most that it ever was.
func RSSMax(pid int) (int64, error) { return statusBytes(pid, "VmHWM:") }

func statusBytes(pid int, name string) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", pid), name)
}

// kilobytes reads a line such as "VmRSS:  123 kB" as bytes.
func kilobytes(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s says nothing of %s", file, name)
}
