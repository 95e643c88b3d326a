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
	only := flags.String("only", "", "sabotages whose names contain this")
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
	if *out != "" && !*again {
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
	for _, s := range table() {
		if _, ok := found[s.name]; ok || !strings.Contains(s.name, *only) {
			continue
		}
		if *limit > 0 && time.Since(began) > *limit {
			break
		}
		r, err := find(ctx, dir, s, *first, *seedsMax, *workers)
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

// writeTable writes those of the table that were looked for.
func writeTable(found map[string]row) string {
	var b strings.Builder
	b.WriteString("# Sabotages\n\nDeliberate bugs, and which of the simulated seeds, run in order, was the first to find each.\nWritten by `make sabotage`.\n\n| bug | in | seed | found as |\n|---|---|---|---|\n")
	for _, s := range table() {
		if r, ok := found[s.name]; ok {
			b.WriteString(r.line(s))
		}
	}
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

// find runs seeds until one finds the bug.
func find(ctx context.Context, dir string, s sabotage, first uint64, seedsMax, workers int) (row, error) {
	program, err := faketime.Build(ctx, dir, s.edits()...)
	if err != nil {
		return row{}, err
	}
	var text bytes.Buffer
	ran, _, err := faketime.Run(ctx, faketime.Options{Program: program, First: first, Count: seedsMax, Workers: workers, Stop: true}, &text)
	if err != nil {
		return row{}, err
	}
	r := row{ran, notFound}
	for _, m := range foundLine.FindAllStringSubmatch(text.String(), -1) {
		seed, err := strconv.ParseUint(m[1], 10, 64)
		if n := int(seed-first) + 1; err == nil && (!r.found() || n < r.seeds) {
			r = row{n, m[2]}
		}
	}
	return r, nil
}
