package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"
)

// Exit codes. Scripts rely on them; the README lists them.
const (
	exitDone    = 0
	exitFailure = 1
	exitUsage   = 2
)

// program is one run of the binary, and all that it touches outside itself.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(name string) (string, bool)
	terminal       func(stream any) bool // whether a person sits at a stream
	layers         layers                // set before a command's action runs
}

// standard is the program on the process's own streams and environment.
func standard() *program {
	return &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env:      os.LookupEnv,
		terminal: isTerminal,
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// run executes one command line (args[0] is the program's name) and returns the
// process's exit code.
func (p *program) run(ctx context.Context, args []string) int {
	app := p.app()
	if len(args) > 1 && args[1] == completeCommand {
		p.complete(app, args[2:])
		return exitDone
	}
	err := app.RunContext(ctx, arrange(app, args))
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(p.stderr, "wadi: "+sentence(err))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// app is the table of commands.
func (p *program) app() *cli.App {
	return &cli.App{
		Name:                      "wadi",
		Usage:                     "a Kafka-protocol log that lives in a bucket",
		Description:               "Start with `wadi demo`. Every flag of a command can also be a WADI_* variable\n(--log-level is WADI_LOG_LEVEL) or a line of the YAML file that --config-file names.",
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		Flags:                     []cli.Flag{helpFlag()},
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usage,
		Action:                    group("wadi"),
		Commands: []*cli.Command{
			p.command(p.demoCommand()),
			p.command(p.devCommand()),
			p.command(p.agentCommand()),
			{
				Name: "topics", Usage: "create, list, describe, alter and delete topics",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("topics"),
				Subcommands: []*cli.Command{
					p.command(p.topicsCreateCommand()),
					p.command(p.topicsListCommand()),
					p.command(p.topicsDescribeCommand()),
					p.command(p.topicsConfigCommand()),
					p.command(p.topicsAlterCommand()),
					p.command(p.topicsAddPartitionsCommand()),
					p.command(p.topicsDeleteCommand()),
				},
			},
			{
				Name: "groups", Usage: "list, describe, reset and delete consumer groups",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("groups"),
				Subcommands: []*cli.Command{
					p.command(p.groupsListCommand()),
					p.command(p.groupsDescribeCommand()),
					p.command(p.groupsResetCommand()),
					p.command(p.groupsDeleteCommand()),
				},
			},
			{
				Name: "transactions", Usage: "list, describe and abort transactions",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("transactions"),
				Subcommands: []*cli.Command{
					p.command(p.transactionsListCommand()),
					p.command(p.transactionsDescribeCommand()),
					p.command(p.transactionsAbortCommand()),
				},
			},
			p.command(p.produceCommand()),
			p.command(p.consumeCommand()),
			{
				Name: "segments", Usage: "list and show what lies in the bucket",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("segments"),
				Subcommands: []*cli.Command{
					p.command(p.segmentsListCommand()),
					p.command(p.segmentsShowCommand()),
				},
			},
			{
				Name: "archive", Usage: "list the Parquet objects of a topic and print the statement that makes them a table",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("archive"),
				Subcommands: []*cli.Command{
					p.command(p.archiveListCommand()),
					p.command(p.archiveSQLCommand()),
				},
			},
			p.command(p.verifyCommand()),
			p.command(p.verifyHistoryCommand()),
			{
				Name: "bucket", Usage: "check a bucket",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("bucket"),
				Subcommands: []*cli.Command{p.command(p.bucketCheckCommand())},
			},
			{
				Name: "metastore", Usage: "check, migrate, look into and recover a metastore",
				HideHelp: true, Flags: []cli.Flag{helpFlag()}, OnUsageError: usage, Action: group("metastore"),
				Subcommands: []*cli.Command{
					p.command(p.metastoreCheckCommand()),
					p.command(p.metastoreMigrateCommand()),
					p.command(p.metastoreStatusCommand()),
					p.command(p.metastoreRecoverCommand()),
				},
			},
			p.command(p.configCommand()),
			p.command(p.completionCommand()),
			p.command(p.versionCommand()),
		},
	}
}

// command gives a leaf command what all of them have: help, the settings' layers
// and errors in words.
func (p *program) command(c *cli.Command) *cli.Command {
	c.HideHelp = true // the library's own help flag is one shared variable
	for _, f := range c.Flags {
		announceVariable(f)
	}
	c.Flags = append(c.Flags, configFileFlag(), helpFlag())
	c.OnUsageError = usage
	c.Before = func(ctx *cli.Context) error {
		var err error
		p.layers, err = p.layer(ctx)
		return err
	}
	return c
}

func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help"}
}

// group is the action of a command that only has subcommands.
func group(name string) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if ctx.Args().Present() {
			return usagef("%q is no command of %s; see %s", ctx.Args().First(), name, strings.TrimSpace(strings.Replace("wadi "+name+" --help", "wadi wadi", "wadi", 1)))
		}
		if name == "wadi" {
			return cli.ShowAppHelp(ctx)
		}
		return cli.ShowSubcommandHelp(ctx)
	}
}

func usage(_ *cli.Context, err error, _ bool) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	text := strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1)
	return usageError{text}
}

// arrange moves the flags of the command before its arguments, so that
// `wadi consume flights -n 5` works: the flag package stops at the first
// argument. `wadi help X` becomes `wadi X --help`. Help is about the command, whatever its
// arguments are: cli would look for one of their name.
func arrange(app *cli.App, args []string) []string {
	if len(args) > 1 && args[1] == "help" {
		args = append(append(args[:1:1], args[2:]...), "--help")
	}
	command, path := find(app, args[1:])
	if command == nil {
		return args
	}
	rest := args[1+path:]
	arranged := append([]string(nil), args[:1+path]...)
	var arguments []string
	help := false
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		if word == "--" {
			arguments = append(arguments, rest[i+1:]...)
			break
		}
		if len(word) < 2 || word[0] != '-' {
			arguments = append(arguments, word)
			continue
		}
		arranged = append(arranged, word)
		help = help || slices.Contains(helpFlag().Names(), strings.TrimLeft(word, "-"))
		if takesValue(command, word) && i+1 < len(rest) {
			i++
			arranged = append(arranged, rest[i])
		}
	}
	leaf := len(command.Subcommands) == 0
	if len(arguments) == 0 || help && leaf {
		return arranged
	}
	if leaf {
		arranged = append(arranged, "--")
	}
	return append(arranged, arguments...)
}

// find returns the command that words begin with, and how many words name it.
func find(app *cli.App, words []string) (*cli.Command, int) {
	var found *cli.Command
	commands := app.Commands
	for i, word := range words {
		next := byName(commands, word)
		if next == nil {
			return found, i
		}
		found, commands = next, next.Subcommands
	}
	return found, len(words)
}

func byName(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func takesValue(command *cli.Command, word string) bool {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range command.Flags {
		for _, n := range f.Names() {
			if n == name {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool
			}
		}
	}
	return false
}
