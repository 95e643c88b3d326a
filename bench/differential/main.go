package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

//go:embed DIFFERENCES.md
var listed string

// options are the command's flags.
type options struct {
	jars   string
	binary string
	only   string
	self   bool
	all    bool // print every answer
}

func main() {
	var o options
	flag.StringVar(&o.jars, "jars", "", "`folder` of Apache Kafka's jars")
	flag.StringVar(&o.binary, "wadi", "", "the wadi `binary`")
	flag.StringVar(&o.only, "only", "", "run only the scripts with these `names`, between commas")
	flag.BoolVar(&o.self, "self", false, "compare Apache Kafka with itself")
	flag.BoolVar(&o.all, "v", false, "print every answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

// run starts both brokers, runs the scripts on them and says how they differ.
func run(ctx context.Context, o options, out io.Writer) error {
	meant, err := parseDifferences(listed)
	if err != nil {
		return err
	}
	chosen, err := choose(scripts(), o.only)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("java"); err != nil {
		return errors.New("java is missing: install a JDK 17 or later, on Debian and Ubuntu with apt-get install openjdk-17-jdk-headless")
	}
	if o.jars, err = filepath.Abs(o.jars); err != nil {
		return err
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "wadi-differential-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var brokers [2]*broker
	defer func() {
		for _, b := range brokers {
			if b != nil {
				b.stop()
			}
		}
	}()
	var starting errgroup.Group
	for i := range brokers {
		home := filepath.Join(folder, fmt.Sprint(i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return err
		}
		starting.Go(func() (err error) {
			if i == 0 || o.self {
				brokers[i], err = startReference(ctx, o.jars, home)
			} else {
				brokers[i], err = startWadi(ctx, o.binary, home)
			}
			return err
		})
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	var answers [2][]answer
	var asking errgroup.Group
	for i, b := range brokers {
		asking.Go(func() error {
			answers[i] = play(ctx, b, chosen)
			return ctx.Err()
		})
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	if o.all {
		for i, b := range brokers {
			printAnswers(out, b.name, answers[i])
		}
	}
	return judge(out, answers[0], answers[1], meant, o)
}

// play runs scripts on one broker.
func play(ctx context.Context, b *broker, chosen []script) (answers []answer) {
	prepare(b)
	for _, one := range chosen {
		if ctx.Err() != nil {
			return answers
		}
		s := &session{broker: b, script: one.name, names: newNames(b), conns: map[string]*conn{}, answers: &answers}
		one.run(s)
		s.close()
	}
	return answers
}

// printAnswers prints one broker's answers.
func printAnswers(out io.Writer, name string, answers []answer) {
	for _, a := range answers {
		fmt.Fprintf(out, "%s, %s: %s\n", name, a.at.Format("15:04:05.000"), a.call)
		for _, path := range slices.Sorted(maps.Keys(a.fields)) {
			fmt.Fprintf(out, "    %s = %s\n", path, a.fields[path])
		}
	}
}

// judge prints the differences and says whether all of them are meant.
func judge(out io.Writer, reference, subject []answer, meant []*difference, o options) error {
	found := compare(reference, subject)
	unlisted := 0
	for _, d := range found {
		if !o.self && explain(meant, d) {
			continue
		}
		unlisted++
		fmt.Fprintf(out, "%s\n    %s\n    Apache Kafka: %s\n    Wadi:         %s\n", d.call, d.field, d.kafka, d.wadi)
	}
	vanished := 0
	if !o.self && o.only == "" {
		for _, d := range meant {
			if !d.seen {
				vanished++
				fmt.Fprintf(out, "listed, but there is no such difference (any more): %s | %s | %s | %s\n", d.call, d.field, d.kafka, d.wadi)
			}
		}
	}
	fmt.Fprintf(out, "%d calls, %d fields differ, %d of them as listed in %d lines of DIFFERENCES.md\n",
		len(reference), len(found), len(found)-unlisted, len(meant))
	if unlisted+vanished > 0 {
		return fmt.Errorf("%d differences are not listed, %d listed ones are gone", unlisted, vanished)
	}
	return nil
}

// choose returns the scripts with the given names, all for none.
func choose(all []script, only string) ([]script, error) {
	if only == "" {
		return all, nil
	}
	var chosen []script
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s script) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no script is called %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
