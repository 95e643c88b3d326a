// Command sabotage proves that the simulation finds bugs: it builds the simulation
// once for each deliberate bug of its table, runs seeds until one finds it, and
// writes the table of how many that took.
//
// The bugs are not in the product: the compiler is given a changed file in place of
// the real one (go build -overlay).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	replay := flag.String("replay", "", "the command of bench/simulation/replay, built")
	cache := flag.String("cache", "", "its folder for what it compiles")
	only := flag.String("only", "", "sabotages whose names contain this")
	seed := flag.Uint64("seed0", 1, "the first seed")
	seedsMax := flag.Int("seeds", 1000, "seeds after which a bug counts as not found")
	out := flag.String("out", "", "the file for the table")
	flag.Parse()
	missed, err := run(context.Background(), *replay, *cache, *only, *seed, *seedsMax, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "%d sabotages were not found\n", missed)
		os.Exit(1)
	}
}

func run(ctx context.Context, replay, cache, only string, seed uint64, seedsMax int, out string) (missed int, err error) {
	dir, err := os.MkdirTemp("", "wadi-sabotage")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var rows strings.Builder
	for _, s := range table() {
		if !strings.Contains(s.name, only) {
			continue
		}
		program, err := s.build(ctx, dir)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", s.name, err)
		}
		seeds, how, err := find(ctx, replay, cache, program, seed, seedsMax)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", s.name, err)
		}
		if how == "" {
			missed++
			how = "NOT FOUND"
		}
		row := fmt.Sprintf("| %s | `%s` | %d | %s |\n", s.name, s.file, seeds, how)
		fmt.Print(row)
		rows.WriteString(row)
	}
	if out == "" {
		return missed, nil
	}
	text := fmt.Sprintf("# Sabotages\n\nDeliberate bugs, and how many simulated seeds (from %d on) were run until the first one found it. Written by `make sabotage`.\n\n"+
		"| bug | in | seeds | found as |\n|---|---|---|---|\n%s", seed, rows.String())
	return missed, os.WriteFile(out, []byte(text), 0o644)
}

// changed returns the file with the bug in it.
func (s sabotage) changed() ([]byte, error) {
	b, err := os.ReadFile(s.file)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(b, []byte(s.old)); n != 1 {
		return nil, fmt.Errorf("%s has %d places for it, not one", s.file, n)
	}
	return bytes.Replace(b, []byte(s.old), []byte(s.new), 1), nil
}

// build builds the simulation with the bug.
func (s sabotage) build(ctx context.Context, dir string) (program string, err error) {
	b, err := s.changed()
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, filepath.Base(s.file))
	if err := os.WriteFile(changed, b, 0o644); err != nil {
		return "", err
	}
	real, err := filepath.Abs(s.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {real: changed}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o644); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "seed.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", path, "-o", program, "./bench/simulation/seed")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return program, nil
}

// The lines of replay that matter here.
var (
	foundLine = regexp.MustCompile(`(?m)^seed \d+ FOUND ([^:]*):`)
	ranLine   = regexp.MustCompile(`(?m)^(\d+) seeds from .* found something`)
)

// find runs seeds until one finds something; how is empty if none does.
func find(ctx context.Context, replay, cache, program string, seed uint64, seedsMax int) (seeds int, how string, err error) {
	cmd := exec.CommandContext(ctx, replay, "-program", program, "-cache", cache, "-seed0", fmt.Sprint(seed), "-seeds", fmt.Sprint(seedsMax), "-stop")
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, "", err
	}
	ran := ranLine.FindSubmatch(text)
	if ran == nil {
		return 0, "", fmt.Errorf("%w\n%s", err, text)
	}
	seeds, err = strconv.Atoi(string(ran[1]))
	if m := foundLine.FindSubmatch(text); m != nil {
		how = string(m[1])
	}
	return seeds, how, err
}
