package main

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/trace/otlp"
)

const flagTraces = "traces"

func tracesFlag() cli.Flag {
	return &cli.StringFlag{Name: flagTraces, Value: "0",
		Usage: "send traces of this `SHARE` of produces and fetches, up to 1, to the collector that OpenTelemetry's OTEL_* variables name (default http://localhost:4318; 0: none)"}
}

// tracesCloseMax bounds the sending of what waits when the agent has ended.
const tracesCloseMax = 5 * time.Second

// traces is what the flag and OpenTelemetry's variables say: nil where nothing is traced.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
func (p *program) traces(ctx *cli.Context, config agent.Config) (*otlp.Config, error) {
	variable := func(names ...string) string {
		for _, name := range names {
			if v, _ := p.env(name); strings.TrimSpace(v) != "" {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	share, err := strconv.ParseFloat(ctx.String(flagTraces), 64)
	if err != nil || !(share >= 0 && share <= 1) {
		return nil, usagef("--%s: %q is not a share from 0 to 1", flagTraces, ctx.String(flagTraces))
	}
	if share == 0 || strings.EqualFold(variable("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	switch exporter := variable("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return nil, nil
	default:
		return nil, usagef("OTEL_TRACES_EXPORTER: traces can't be sent by %q, only by otlp", exporter)
	}
	traces := &otlp.Config{
		Ratio:                share,
		SamplerOfEnvironment: variable("OTEL_TRACES_SAMPLER") != "",
		Protocol:             variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
		Version:              version, Zone: config.Zone, Instance: rand.Text(), Log: config.Log,
	}
	if err := traces.Validate(); err != nil {
		return nil, usageError{err.Error()}
	}
	return traces, nil
}

// runTracedAgent runs an agent, and sends its traces where they are asked for.
func (p *program) runTracedAgent(ctx *cli.Context, config agent.Config) error {
	traces, err := p.traces(ctx, config)
	if err != nil {
		return err
	}
	if traces == nil {
		return p.runAgent(ctx.Context, config)
	}
	exporter, err := otlp.Open(ctx.Context, *traces)
	if err != nil {
		return err
	}
	defer func() {
		farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context), tracesCloseMax)
		defer cancel()
		if err := exporter.Close(farewell); err != nil {
			config.Log.Warn("the last traces could not be sent", "err", err)
		}
	}()
	config.Trace = exporter.Tracer()
	return p.runAgent(ctx.Context, config)
}
