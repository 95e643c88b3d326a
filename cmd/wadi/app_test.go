package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/urfave/cli/v2"
)

func TestRun_UsageErrorsAreOneSentenceAndCode2(t *testing.T) {
	for _, row := range []struct {
		args string
		says string
	}{
		{"nonsense", `"nonsense" is no command of wadi; see wadi --help.`},
		{"topics nonsense", `"nonsense" is no command of topics; see wadi topics --help.`},
		{"topics create", "wadi topics create needs TOPIC...; see wadi topics create --help."},
		{"consume a b", `wadi consume takes no argument "b"; see wadi consume --help.`},
		{"consume --nope a", "there is no flag --nope."},
		{"consume a --from yesterday", `--from: "yesterday" is not earliest, latest, an offset, -N, a time or a duration.`},
		{"consume a -o xml", `--output: "xml" is neither text nor json.`},
		{"consume a --format %", "--format: "},
		{"consume a -n -1", "--number and --partition can't be negative."},
		{"consume a --kafka nowhere", `--kafka: "nowhere" is not HOST:PORT.`},
		{"produce a --compression fast", `--compression: "fast" is not none, gzip, snappy, lz4 or zstd.`},
		{"produce a --input csv", `--input: "csv" is neither lines nor json.`},
		{"produce a -i json -k :", "--key-separator is for lines; in JSON the key is a field."},
		{"produce a --header x", `--header: "x" is not NAME=VALUE.`},
		{"produce a --partition -2", "--partition: -2 is not a partition."},
		{"topics create a --topic-config x", `--topic-config: "x" is not NAME=VALUE.`},
		{"segments show what", `"what" is neither a segment's key nor TERM/NUMBER.`},
		{"verify-history", "wadi verify-history needs FILE; see wadi verify-history --help."},
		{"verify-history a --ignore everything", `--ignore: "everything" is no kind of anomaly `},
		{"completion tcsh", `"tcsh" is not bash, zsh or fish.`},
		{"agent", "--bucket is needed; for a first try there is wadi dev, which needs nothing."},
		{"agent --bucket mem://", "--metastore is needed; "},
		{"dev --cache 5parsecs", `--cache: "5parsecs" is not a size such as 256MiB.`},
		{"dev --log-level loud", `--log-level: "loud" is not debug, info, warn or error.`},
		{"dev --log-format xml", `--log-format: "xml" is not auto, text or json.`},
		{"dev --config x", `--config: "x" is not NAME=VALUE.`},
		{"dev --config-file /nonexistent.yaml", "the config file /nonexistent.yaml: no such file or directory."},
	} {
		r := run(t, strings.Fields(row.args)...)
		if r.code != exitUsage || !strings.HasPrefix(r.stderr, "wadi: "+row.says) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("wadi %s: code %d, stdout %q, stderr %q", row.args, r.code, r.stdout, r.stderr)
		}
	}
}

func TestRun_NobodyListens(t *testing.T) {
	for _, args := range []string{"topics list", "consume a", "produce a", "topics describe a"} {
		r := run(t, append(strings.Fields(args), "--kafka", "127.0.0.1:1")...)
		r.want(t, exitFailure, "", "wadi: nothing listens on 127.0.0.1:1: start an agent (wadi dev), or say where one is with --kafka.\n")
	}
}

func TestRun_Help(t *testing.T) {
	run(t).want(t, exitDone, "watch an agent take", "")
	run(t, "--help").want(t, exitDone, "watch an agent take", "")
	run(t, "topics").want(t, exitDone, "describe", "")
	run(t, "consume", "flights", "--help").want(t, exitDone, "--until-end", "")
	run(t, "groups", "describe", "-h", "g").want(t, exitDone, "wadi groups describe", "")
	run(t, "help", "produce").want(t, exitDone, "[$WADI_KEY_SEPARATOR]", "")
	run(t, "produce", "-h").want(t, exitDone, "[$WADI_KEY_SEPARATOR]", "")
	run(t, "version").want(t, exitDone, "wadi "+version, "")
}

func TestArrange_FlagsMayFollowArguments(t *testing.T) {
	app := (&program{}).app()
	for _, row := range []struct{ typed, arranged string }{
		{"wadi consume a -n 5 --until-end", "wadi consume -n 5 --until-end -- a"},
		{"wadi consume --from -5 a", "wadi consume --from -5 -- a"},
		{"wadi consume a --from=-5", "wadi consume --from=-5 -- a"},
		{"wadi topics create a b --partitions 3 c", "wadi topics create --partitions 3 -- a b c"},
		{"wadi produce a -- --odd", "wadi produce -- a --odd"},
		{"wadi produce -", "wadi produce -- -"},
		{"wadi topics nonsense", "wadi topics nonsense"},
		{"wadi --help", "wadi --help"},
		{"wadi help topics create", "wadi topics create --help"},
		{"wadi consume a --from", "wadi consume --from -- a"},
		{"wadi", "wadi"},
	} {
		if got := strings.Join(arrange(app, strings.Fields(row.typed)), " "); got != row.arranged {
			t.Errorf("%s became %s, want %s", row.typed, got, row.arranged)
		}
	}
}

func TestSentence_KafkaErrorsInWords(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("describe %q: %w", "a", kerr.UnknownTopicOrPartition), `describe "a": there is no such topic or partition (UNKNOWN_TOPIC_OR_PARTITION).`},
		{fmt.Errorf("create: %w: the name is taken", kerr.TopicAlreadyExists), `create: there is a topic of that name already (TOPIC_ALREADY_EXISTS): the name is taken.`},
		{errors.New("two\nlines"), "two lines."},
		{errors.New("done!"), "done!"},
	} {
		if got := sentence(row.err); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, row := range []struct {
		words []string
		want  []string
	}{
		{[]string{"con"}, []string{"consume", "config"}},
		{[]string{"topics", "d"}, []string{"describe", "delete"}},
		{[]string{"consume", "--f"}, []string{"--format", "--from"}},
		{[]string{"consume", "a", "--output", ""}, []string{"json", "text"}},
		{[]string{"produce", "--compression", "z"}, []string{"zstd"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		{[]string{"produce", "--file", ""}, nil},
		{[]string{"consume", ""}, nil},
	} {
		r := run(t, append([]string{completeCommand}, row.words...)...)
		if got := strings.Fields(r.stdout); !slices.Equal(got, row.want) {
			t.Errorf("%v: %v, want %v", row.words, got, row.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		run(t, "completion", shell).want(t, exitDone, completeCommand, "")
	}
}

// Every flag that takes one of a few words completes to words that it takes.
func TestCompletion_ValuesAreOfFlagsThatExist(t *testing.T) {
	names := map[string]bool{}
	var walk func(commands []*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			for _, f := range c.Flags {
				for _, name := range f.Names() {
					names[name] = true
				}
			}
			walk(c.Subcommands)
		}
	}
	walk((&program{}).app().Commands)
	for _, name := range []string{"compression", "from", "input", "log-format", "log-level", "output", "i", "o"} {
		if !names[name] || len(flagValues(name)) == 0 {
			t.Errorf("flag %s: exists %v, values %v", name, names[name], flagValues(name))
		}
	}
}

// The README's table has every command.
func TestReadme_NamesEveryCommand(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range (&program{}).app().Commands {
		if !strings.Contains(string(readme), "\n| `wadi "+c.Name) {
			t.Errorf("the README's table lacks wadi %s", c.Name)
		}
	}
}

func TestObey_SecondSignalEndsAtOnce(t *testing.T) {
	signals := make(chan os.Signal)
	did := make(chan string)
	go obey(signals, func() { did <- "drain" }, func(code int) { did <- fmt.Sprint("exit ", code) })
	for _, want := range []string{"drain", "exit 1"} {
		signals <- syscall.SIGTERM
		if got := <-did; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
