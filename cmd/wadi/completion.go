package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeCommand is what the shells' scripts call, with the words typed so far:
// it prints what may stand in place of the last one.
const completeCommand = "__complete"

const bashScript = `# bash completion of wadi: source <(wadi completion bash)
_wadi() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _wadi wadi
`

const zshScript = `#compdef wadi
# zsh completion of wadi: source <(wadi completion zsh)
_wadi() {
  local -a found
  found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then
    compadd -- "${found[@]}"
  else
    _files
  fi
}
compdef _wadi wadi
`

const fishScript = `# fish completion of wadi: wadi completion fish | source
complete -c wadi -a '(wadi __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a shell's completion script", ArgsUsage: "bash|zsh|fish",
		Description: "For this shell only: source <(wadi completion bash). For every one: put that line into\n~/.bashrc (zsh: ~/.zshrc after compinit; fish: wadi completion fish >\n~/.config/fish/completions/wadi.fish).",
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			scripts := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
			script, ok := scripts[ctx.Args().First()]
			if !ok {
				return usagef("%q is not bash, zsh or fish", ctx.Args().First())
			}
			_, err := fmt.Fprint(p.stdout, script)
			return err
		},
	}
}

// complete prints what the last of words could become: subcommands, flags, or
// the values of a flag that has a few. Nothing printed leaves it to file names.
func (p *program) complete(app *cli.App, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	command, _ := find(app, before)
	for _, candidate := range candidates(app, command, before, last) {
		if strings.HasPrefix(candidate, last) {
			fmt.Fprintln(p.stdout, candidate)
		}
	}
}

func candidates(app *cli.App, command *cli.Command, before []string, last string) []string {
	commands, flags := app.Commands, app.Flags
	if command != nil {
		commands, flags = command.Subcommands, command.Flags
	}
	if command != nil && len(before) > 0 && strings.HasPrefix(before[len(before)-1], "-") && takesValue(command, before[len(before)-1]) {
		return flagValues(strings.TrimLeft(before[len(before)-1], "-"))
	}
	var found []string
	if strings.HasPrefix(last, "-") {
		for _, f := range flags {
			for _, name := range f.Names() {
				if len(name) > 1 {
					found = append(found, "--"+name)
				}
			}
		}
		sort.Strings(found)
		return found
	}
	for _, c := range commands {
		found = append(found, c.Name)
	}
	if command != nil && command.Name == "completion" {
		found = []string{"bash", "fish", "zsh"}
	}
	return found
}

// flagValues are the values of a flag that has a few.
func flagValues(flag string) []string {
	return map[string][]string{
		"compression": {"gzip", "lz4", "none", "snappy", "zstd"},
		"from":        {"earliest", "latest"},
		"input":       {inputJSON, inputLines},
		"log-format":  {"auto", outputJSON, outputText},
		"log-level":   {"debug", "error", "info", "warn"},
		"output":      {outputJSON, outputText},
		"i":           {inputJSON, inputLines},
		"o":           {outputJSON, outputText},
	}[flag]
}
