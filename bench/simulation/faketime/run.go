package faketime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds of one seed's process.
const (
	memoryMax       = "4GiB"          // where garbage is collected after all, at the price of another order
	seedMax         = 3 * time.Minute // of real time; then it hangs
	stderrKeptBytes = 64 << 10
)

// Options say which seeds to run, and how.
type Options struct {
	Program string
	Seeds   []uint64      // these first
	First   uint64        // the first of Count; 0 draws one
	Count   int           // how many more
	For     time.Duration // no seed begins later; 0: no limit
	Workers int           // processes at once
	Twice   bool          // run each seed twice and compare
	Stop    bool          // at the first seed that finds something
	Live    io.Writer     // gets what the seeds write to their standard error; nil: it is kept for crashes
	Args    []string      // further arguments of the program
}

// Run runs the seeds and writes what they print. It returns how many ran and how many found something.
// An error says that a seed went otherwise the second time, or that nothing could run.
func Run(ctx context.Context, o Options, out io.Writer) (ran, found int, err error) {
	if o.First == 0 {
		o.First = rand.Uint64N(1 << 40)
	}
	fmt.Fprintf(out, "%d kept seeds, and %d from %d on\n", len(o.Seeds), o.Count, o.First)
	began := time.Now()
	var mu sync.Mutex
	next := 0
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ctx.Err() != nil, err != nil, o.Stop && found > 0, next == len(o.Seeds)+o.Count:
			return 0, false
		case o.For > 0 && time.Since(began) > o.For:
			return 0, false
		}
		next++
		if next <= len(o.Seeds) {
			return o.Seeds[next-1], true
		}
		return o.First + uint64(next-len(o.Seeds)-1), true
	}
	var wg sync.WaitGroup
	for range max(o.Workers, 1) {
		wg.Go(func() {
			for {
				seed, ok := take()
				if !ok {
					return
				}
				text, clean, e := one(ctx, seed, o)
				if o.Twice && e == nil {
					var again string
					if again, _, e = one(ctx, seed, o); e == nil && again != text {
						e = fmt.Errorf("seed %d went otherwise the second time:\n%s\n%s", seed, text, again)
					}
				}
				mu.Lock()
				err = errors.Join(err, e)
				io.WriteString(out, text)
				ran++
				if !clean {
					found++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Fprintf(out, "%d seeds ran, %d found something, %.0f seeds a minute\n", ran, found, float64(ran)/time.Since(began).Minutes())
	return ran, found, errors.Join(err, ctx.Err())
}

// one runs one seed and returns what it printed. One that hangs is run again: a seed goes the same way each time,
// so if it doesn't hang then, the machine was busy.
func one(ctx context.Context, seed uint64, o Options) (text string, clean bool, err error) {
	text, clean, hung, err := once(ctx, seed, o)
	if hung {
		text, clean, _, err = once(ctx, seed, o)
	}
	return text, clean, err
}

func once(ctx context.Context, seed uint64, o Options) (text string, clean, hung bool, err error) {
	limit, cancel := context.WithTimeout(ctx, seedMax)
	defer cancel()
	// The first argument is the seed of the runtime's randomness too.
	cmd := exec.CommandContext(limit, o.Program)
	cmd.Args = append([]string{"seed", fmt.Sprint(seed)}, o.Args...) // not the program's path, which has its part in what is allocated
	cmd.Env = []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMEMLIMIT=" + memoryMax, "TZ=UTC"}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	var stdout bytes.Buffer
	var stderr tail
	cmd.Stdout, cmd.Stderr = &stdout, io.Writer(&stderr)
	if o.Live != nil {
		cmd.Stderr = o.Live
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", true, false, ctx.Err()
	case err == nil:
		return stdout.String(), true, false, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return stdout.String(), false, false, nil
	case !errors.As(err, &exit) && limit.Err() == nil:
		return "", true, false, fmt.Errorf("run %s: %w", o.Program, err)
	}
	what := "a crash"
	if hung = limit.Err() != nil; hung {
		what = fmt.Sprintf("that it hangs for %v", seedMax)
	}
	return fmt.Sprintf("seed %d FOUND %s: %v\n%s%s\n", seed, what, err, stdout.String(), strings.TrimSpace(string(stderr.kept))), false, hung, nil
}

// tail keeps the end of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - stderrKeptBytes; over > stderrKeptBytes {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}
