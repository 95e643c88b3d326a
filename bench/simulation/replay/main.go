// Command replay runs simulated seeds: each in a WebAssembly machine of its own, whose
// clock and randomness come from the seed, so that it happens in the same way again.
// The clock jumps to the next timer whenever the program has nothing to do.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// epoch is when simulated time begins.
const epoch = int64(1_800_000_000) * int64(time.Second)

// tick is what a look at the clock costs, so that a loop that waits for time to
// pass comes to its end.
const tick = 50

func main() {
	program := flag.String("program", "", "the program, built for wasip1")
	first := flag.Uint64("seed0", 0, "the first seed; 0 draws one")
	seeds := flag.Int("seeds", 100, "how many seeds from there on")
	workers := flag.Int("workers", runtime.NumCPU(), "machines at once")
	twice := flag.Bool("twice", false, "run each seed twice and compare")
	stop := flag.Bool("stop", false, "stop at the first seed that finds something")
	cache := flag.String("cache", "", "folder that keeps what was compiled")
	live := flag.Bool("live", false, "print what the seeds write to their standard error as it comes")
	flag.Parse()
	if *first == 0 {
		*first = rand.Uint64N(1 << 40)
	}
	found, err := run(context.Background(), options{*program, *cache, *first, *seeds, *workers, *twice, *stop, *live, flag.Args()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

type options struct {
	program, cache string
	first          uint64
	seeds, workers int
	twice, stop    bool
	live           bool
	args           []string
}

// run runs all seeds and returns how many found something.
func run(ctx context.Context, o options) (found int, err error) {
	binary, err := os.ReadFile(o.program)
	if err != nil {
		return 0, err
	}
	config := wazero.NewRuntimeConfig()
	if o.cache != "" {
		c, err := wazero.NewCompilationCacheWithDir(o.cache)
		if err != nil {
			return 0, err
		}
		defer c.Close(ctx)
		config = config.WithCompilationCache(c)
	}
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	module, err := r.CompileModule(ctx, binary)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	fmt.Printf("%d seeds from %d on\n", o.seeds, o.first)
	var mu sync.Mutex
	next, done := 0, 0
	var wg sync.WaitGroup
	for range o.workers {
		wg.Go(func() {
			for {
				mu.Lock()
				if next == o.seeds || (o.stop && found > 0) || err != nil {
					mu.Unlock()
					return
				}
				seed := o.first + uint64(next)
				next++
				mu.Unlock()
				out, clean, e := one(ctx, r, module, seed, o)
				if o.twice && e == nil {
					again, _, e2 := one(ctx, r, module, seed, o)
					if e = e2; e == nil && again != out {
						e = fmt.Errorf("seed %d went otherwise the second time:\n%s\n%s", seed, out, again)
					}
				}
				mu.Lock()
				if e != nil {
					err = errors.Join(err, e)
				}
				fmt.Print(out)
				done++
				if !clean {
					found++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d seeds from %d on, %d found something, %.0f seeds a minute\n", done, o.first, found, float64(done)/time.Since(began).Minutes())
	return found, err
}

// one runs one seed and returns what it printed.
func one(ctx context.Context, r wazero.Runtime, module wazero.CompiledModule, seed uint64, o options) (out string, clean bool, err error) {
	var stdout bytes.Buffer
	var stderr tail
	now := epoch
	var told io.Writer = &stderr
	if o.live {
		told = os.Stderr
	}
	config := wazero.NewModuleConfig().
		WithName("").
		WithArgs(append([]string{"seed", fmt.Sprintf("-seed=%d", seed)}, o.args...)...).
		WithStdout(&stdout).WithStderr(told).
		WithRandSource(&source{rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8), 2: byte(seed >> 16), 3: byte(seed >> 24), 4: byte(seed >> 32), 5: byte(seed >> 40)})}).
		WithWalltime(func() (int64, int32) { return now / 1e9, int32(now % 1e9) }, sys.ClockResolution(1)).
		WithNanotime(func() int64 { now += tick; return now }, sys.ClockResolution(1)).
		WithNanosleep(func(ns int64) { now += ns }).
		WithOsyield(func() { now += tick })
	m, err := r.InstantiateModule(ctx, module, config)
	if m != nil {
		m.Close(ctx)
	}
	var exit *sys.ExitError
	switch {
	case err == nil:
		return stdout.String(), true, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return stdout.String(), false, nil
	}
	return fmt.Sprintf("seed %d FOUND a crash: %v\n%s%s\n", seed, err, stdout.String(), strings.TrimSpace(string(stderr.kept))), false, nil
}

// tailBytesMax bounds what is kept of a seed's standard error, where it writes what
// it does as it does it.
const tailBytesMax = 64 << 10

// tail keeps the end of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytesMax; over > tailBytesMax {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// source is the machine's randomness.
type source struct{ *rand.ChaCha8 }

func (s *source) Read(b []byte) (int, error) { return s.ChaCha8.Read(b) }
