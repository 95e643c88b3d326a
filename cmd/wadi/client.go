package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

const (
	// flagKafka names the address at which Kafka is spoken: agents listen there,
	// clients connect there. So one file or variable serves both.
	flagKafka    = "kafka"
	defaultKafka = "127.0.0.1:9092"

	// dialTimeout bounds how long a client waits for an address to answer.
	dialTimeout = 5 * time.Second
	// adminTimeout bounds a command that asks once: topics, offsets.
	adminTimeout = 30 * time.Second
)

// clientFlags are the flags of every command that is a Kafka client.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(more, &cli.StringFlag{
		Name: flagKafka, Aliases: []string{"server"}, Value: defaultKafka,
		Usage: "connect to `HOST:PORT` (several: divided by commas)",
	})
}

// seeds are the addresses to connect to. An agent may listen on every address of
// its machine; a client on the same settings takes the loopback one.
func seeds(ctx *cli.Context) ([]string, error) {
	var addresses []string
	for _, address := range strings.Split(ctx.String(flagKafka), ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(address))
		if err != nil {
			return nil, usagef("--kafka: %q is not HOST:PORT", address)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, nil
}

// connect makes a client and makes sure that something answers: without it the
// library would try for minutes, in silence.
func connect(ctx *cli.Context, options ...kgo.Opt) (*kgo.Client, error) {
	addresses, err := seeds(ctx)
	if err != nil {
		return nil, err
	}
	client, err := dial(ctx.Context, addresses, options...)
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("nothing listens on %s: start an agent (wadi dev), or say where one is with --kafka", strings.Join(addresses, ", "))
	}
	return client, err
}

func dial(ctx context.Context, addresses []string, options ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addresses...),
		kgo.ClientID("wadi-cli"),
		kgo.SoftwareNameAndVersion("wadi-cli", version),
		kgo.DialTimeout(dialTimeout),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	pingCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := client.Ping(pingCtx); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(addresses, ", "), err)
	}
	return client, nil
}

// asAdmin runs a command that asks once and prints rows or JSON.
func asAdmin(ctx *cli.Context, least, most int, f func(timed context.Context, admin *kadm.Client, asJSON bool) error) error {
	if err := argumentCount(ctx, least, most); err != nil {
		return err
	}
	asJSON, err := wantsJSON(ctx)
	if err != nil {
		return err
	}
	admin, timed, done, err := connectAdmin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return f(timed, admin, asJSON)
}

// connectAdmin is connect for commands that ask once.
func connectAdmin(ctx *cli.Context) (*kadm.Client, context.Context, func(), error) {
	client, err := connect(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	timed, cancel := context.WithTimeout(ctx.Context, adminTimeout)
	return kadm.NewClient(client), timed, func() { cancel(); client.Close() }, nil
}
