package main

import (
	"log/slog"
	"strings"

	"github.com/urfave/cli/v2"
)

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "log from `LEVEL` up: debug, info, warn or error"},
		&cli.StringFlag{Name: "log-format", Value: "auto", Usage: "log as `FORMAT`: text, json, or auto (text on a terminal, JSON otherwise)"},
	}
}

// readable writes durations as 1.5s, also in JSON, where they would be nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// logger writes to the standard error; the standard output is for data.
func (p *program) logger(ctx *cli.Context) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(ctx.String("log-level"))); err != nil || strings.ContainsAny(ctx.String("log-level"), "+-") {
		return nil, usagef("--log-level: %q is not debug, info, warn or error", ctx.String("log-level"))
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	format := ctx.String("log-format")
	if format == "auto" {
		format = outputJSON
		if p.terminal(p.stderr) {
			format = outputText
		}
	}
	switch format {
	case outputText:
		return slog.New(slog.NewTextHandler(p.stderr, options)), nil
	case outputJSON:
		return slog.New(slog.NewJSONHandler(p.stderr, options)), nil
	}
	return nil, usagef("--log-format: %q is not auto, text or json", format)
}
