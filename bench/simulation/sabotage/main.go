// Command sabotage proves that the simulation finds bugs: it builds the simulation
// once for each deliberate bug of its table, runs seeds until one finds it, and
// writes the table of how many that took.
//
// The bugs are not in the product: the compiler is given a changed file in place of
// the real one (go build -overlay). A bug that is in the written table already is not
// looked for again, so a run that was interrupted goes on where it was.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/simulation/faketime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	missed, err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "%d sabotages were not found\n", missed)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (missed int, err error) {
	flags := flag.NewFlagSet("sabotage", flag.ContinueOnError)
	only := flags.String("only", "", "sabotages whose names contain one of these, separated by |")
	first := flags.Uint64("seed0", 1, "the first seed")
	seedsMax := flags.Int("seeds", 1000, "seeds after which a bug counts as not found")
	out := flags.String("out", "", "the file of the table; what it has found already isn't looked for again")
	again := flags.Bool("again", false, "look for all of them again")
	limit := flags.Duration("for", 0, "begin no sabotage after so long; 0: no limit")
	workers := flags.Int("workers", runtime.NumCPU(), "seeds at once")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	found := map[string]row{}
	if *out != "" {
		if found, err = readTable(*out); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "wadi-sabotage")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	h := hunt{dir: dir, first: *first, seeds: *seedsMax, workers: *workers}
	for _, s := range table() {
		if _, ok := found[s.name]; ok && !*again || !isOneOf(s.name, *only) {
			continue
		}
		if *limit > 0 && time.Since(began) > *limit {
			break
		}
		r, err := h.find(ctx, s)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", s.name, err)
		}
		if !r.found() {
			missed++
		}
		found[s.name] = r
		fmt.Print(r.line(s))
		if *out != "" {
			if err := os.WriteFile(*out, []byte(writeTable(found)), 0o644); err != nil {
				return missed, err
			}
		}
	}
	return missed, nil
}

// isOneOf tells whether a name contains one of the texts.
func isOneOf(name, texts string) bool {
	return slices.ContainsFunc(strings.Split(texts, "|"), func(t string) bool { return strings.Contains(name, t) })
}

// row is what came of looking for a sabotage.
type row struct {
	seeds int
	how   string
}

// notFound stands in the table for a bug that no seed found.
const notFound = "NOT FOUND"

func (r row) found() bool { return r.how != notFound }

func (r row) line(s sabotage) string {
	return fmt.Sprintf("| %s | `%s` | %d | %s |\n", s.name, s.file, r.seeds, r.how)
}

// harmless says what is in no row, and why.
const harmless = `
What another mechanism makes harmless is no bug, and has no row:

- void batches that are decided anew in another order: one that comes too early is held as a gap, and judged again
  once the one before it was (` + "`agent/ingest/decide.go`, hold" + `);
- an answer of a version lower than one that has answered before: within a process no replica's version goes back
  (` + "`metastore/replica.go`, restore" + `);
- a segment's number that is used twice, alone: the second PUT is refused, since its bytes are others; and other
  bytes under a key that are taken for the same, alone: no number is used twice. Both together are a row.
`

// writeTable writes those of the table that were looked for.
func writeTable(found map[string]row) string {
	var b strings.Builder
	b.WriteString("# Sabotages\n\nDeliberate bugs, and which of the simulated seeds, run in order, was the first to find each: one that finds\nnothing without the bug. Written by `make sabotage`.\n\n| bug | in | seed | found as |\n|---|---|---|---|\n")
	for _, s := range table() {
		if r, ok := found[s.name]; ok {
			b.WriteString(r.line(s))
		}
	}
	b.WriteString(harmless)
	return b.String()
}

var tableLine = regexp.MustCompile("(?m)^\\| (.+?) \\| `.*?` \\| (\\d+) \\| (.*) \\|$")

// readTable reads what was found already.
func readTable(path string) (map[string]row, error) {
	found := map[string]row{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	for _, m := range tableLine.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[2])
		if r := (row{n, m[3]}); r.found() {
			found[m[1]] = r
		}
	}
	return found, err
}

// foundLine is how a seed says that it found something.
var foundLine = regexp.MustCompile(`(?m)^seed (\d+) FOUND ([^:]*):`)

// hunt looks for sabotages.
type hunt struct {
	dir     string
	first   uint64
	seeds   int
	workers int
	clean   string // the program without a bug; empty: not built yet
}

// find runs seeds until one finds the bug: one that finds nothing without it.
func (h *hunt) find(ctx context.Context, s sabotage) (row, error) {
	program, err := faketime.Build(ctx, h.dir, s.edits()...)
	if err != nil {
		return row{}, err
	}
	for done := 0; done < h.seeds; {
		found, err := h.run(ctx, program, h.first+uint64(done), h.seeds-done)
		if err != nil {
			return row{}, err
		}
		if len(found) == 0 {
			break
		}
		for _, f := range found {
			done = f.seeds
			without, err := h.without(ctx, h.first+uint64(f.seeds-1))
			if err != nil {
				return row{}, err
			}
			if !without {
				return f, nil
			}
			fmt.Printf("seed %d finds something without the bug too\n", h.first+uint64(f.seeds-1))
		}
	}
	return row{h.seeds, notFound}, nil
}

// run runs seeds until one finds something, and returns those that did, in order.
func (h *hunt) run(ctx context.Context, program string, first uint64, count int) (found []row, err error) {
	var text bytes.Buffer
	_, _, err = faketime.Run(ctx, faketime.Options{Program: program, First: first, Count: count, Workers: h.workers, Stop: true}, &text)
	for _, m := range foundLine.FindAllStringSubmatch(text.String(), -1) {
		if seed, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			found = append(found, row{int(seed-h.first) + 1, m[2]})
		}
	}
	slices.SortFunc(found, func(a, b row) int { return a.seeds - b.seeds })
	return found, err
}

// without tells whether a seed finds something in the product as it is.
func (h *hunt) without(ctx context.Context, seed uint64) (bool, error) {
	if h.clean == "" {
		dir, err := os.MkdirTemp(h.dir, "clean")
		if err != nil {
			return false, err
		}
		if h.clean, err = faketime.Build(ctx, dir); err != nil {
			return false, err
		}
	}
	found, err := h.run(ctx, h.clean, seed, 1)
	return len(found) > 0, err
}
