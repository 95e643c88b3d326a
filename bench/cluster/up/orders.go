package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wadi-io/wadi/bench/cluster"
)

// stopMax bounds an agent's own end; after it, it is killed.
const stopMax = 20 * time.Second

// done answers an order.
type done struct {
	Done  string `json:"done"`
	Error string `json:"error,omitempty"`
}

// obey takes orders, each a line, until in ends, and answers each with a line of JSON:
//
//	kill AGENT     as kill -9 does
//	stop AGENT     as SIGTERM does
//	start AGENT    unless it runs; answered when it serves clients
func obey(ctx context.Context, c *cluster.Cluster, in io.Reader, out io.Writer) {
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	for lines.Scan() {
		answer := done{Done: lines.Text()}
		if err := order(ctx, c, answer.Done); err != nil {
			answer.Error = err.Error()
		}
		if answers.Encode(answer) != nil {
			return // Nobody listens.
		}
	}
}

func order(ctx context.Context, c *cluster.Cluster, line string) error {
	verb, name, _ := strings.Cut(line, " ")
	for _, a := range c.Agents {
		if a.Name != name {
			continue
		}
		switch verb {
		case "kill":
			a.Kill()
			return nil
		case "stop":
			if !a.Stop(stopMax) {
				return fmt.Errorf("%s did not end within %v", name, stopMax)
			}
			return nil
		case "start":
			if err := a.Start(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, startMax)
			defer cancel()
			return a.AwaitReady(ctx)
		}
		return fmt.Errorf("%q is none of kill, stop, start", verb)
	}
	return fmt.Errorf("there is no agent %q", name)
}
