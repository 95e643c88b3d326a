package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// version is the release that this tree becomes.
const version = "0.1.0-dev"

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version",
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "wadi %s%s, %s, %s/%s\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// revision is the commit that the binary was built from, where the build kept it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	text := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			text += " (" + s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				text += ", changed"
			}
		}
	}
	if text != "" {
		text += ")"
	}
	return text
}
