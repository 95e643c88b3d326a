package measure

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Busy is the time that all processors have worked so far, for anyone; time that the
// hypervisor gave to others while we wanted it counts as work.
func Busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const user, nice, system, irq, softirq, steal = 1, 2, 3, 6, 7, 8 // guests are in user
	if len(fields) <= steal {
		return 0, fmt.Errorf("/proc/stat: %q", line)
	}
	var sum time.Duration
	for _, i := range []int{user, nice, system, irq, softirq, steal} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// Foreign is the share of the machine that others had, of what was busy in a time beyond what was ours.
func Foreign(busy, ours, took time.Duration) float64 {
	return max(0, float64(busy-ours)/(float64(took)*float64(runtime.NumCPU())))
}

// gateLook is how long the machine is looked at.
const gateLook = time.Second

// AwaitQuiet waits until others have at most a share of the machine for a second, at most so
// long; it returns the last share, which may be above.
func AwaitQuiet(ctx context.Context, shareMax float64, most time.Duration) (share float64, err error) {
	for began := time.Now(); ; {
		before, err := Busy()
		if err != nil {
			return 0, err
		}
		select {
		case <-time.After(gateLook):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		after, err := Busy()
		if err != nil {
			return 0, err
		}
		if share = Foreign(after-before, 0, gateLook); share <= shareMax || time.Since(began) > most {
			return share, nil
		}
	}
}

// Available is the memory that processes could have, in bytes.
func Available() (int64, error) { return kilobytes("/proc/meminfo", "MemAvailable:") }

// Touch writes to so many bytes of fresh memory, at most half of what is available, and gives
// it back: the next to ask for memory gets pages that the machine has. It returns how
// many bytes, and how long a GiB of them took: above 0.5 s or so the machine had to fetch it.
func Touch(size int64) (touched int64, perGiB time.Duration, err error) {
	available, err := Available()
	if err != nil {
		return 0, 0, err
	}
	size = min(size, available/2)
	if size <= 0 {
		return 0, 0, nil
	}
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return 0, 0, fmt.Errorf("touch %d bytes: %w", size, err)
	}
	began := time.Now()
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	took := time.Since(began)
	return size, time.Duration(float64(took) / float64(size) * (1 << 30)), syscall.Munmap(b)
}
