package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/follow"
)

// flagClusterSecret is never printed.
const flagClusterSecret = "cluster-secret"

// peerFlags say how agents push entries to each other.
func peerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "peer", Usage: "let other agents push what they commit to `HOST:PORT`, and push to theirs (empty: don't; this agent then sees what others commit within a second)"},
		&cli.StringFlag{Name: "peer-advertised", Usage: "tell other agents to come to `HOST:PORT` (default: what --peer is)"},
		&cli.StringFlag{Name: flagClusterSecret, Usage: "the `SECRET` by which agents of the cluster know each other; needed beyond loopback addresses, unless they have certificates"},
		&cli.StringFlag{Name: "cluster-secret-file", Usage: "read that secret from `FILE`"},
		&cli.StringFlag{Name: "peer-cert", Usage: "show other agents the certificate in `FILE` (PEM), over TLS"},
		&cli.StringFlag{Name: "peer-key", Usage: "its key is in `FILE`"},
		&cli.StringFlag{Name: "peer-ca", Usage: "trust other agents whose certificates the CAs in `FILE` have signed"},
	}
}

// peerConfig is what peerFlags say.
func peerConfig(ctx *cli.Context, config agent.PeerConfig) (agent.PeerConfig, error) {
	config.Listen, config.Advertised = ctx.String("peer"), ctx.String("peer-advertised")
	secret, file := ctx.String(flagClusterSecret), ctx.String("cluster-secret-file")
	switch {
	case secret != "" && file != "":
		return config, usagef("--%s and --cluster-secret-file are both given", flagClusterSecret)
	case secret != "":
		config.Streams.Secret = []byte(secret)
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			return config, fmt.Errorf("read the cluster's secret: %w", err)
		}
		config.Streams.Secret = bytes.TrimSpace(content)
	}
	cert, key, ca := ctx.String("peer-cert"), ctx.String("peer-key"), ctx.String("peer-ca")
	if cert != "" || key != "" || ca != "" {
		var err error
		if config.Streams.TLS, err = follow.LoadTLS(cert, key, ca); err != nil {
			return config, usagef("--peer-cert, --peer-key, --peer-ca: %s", err)
		}
	}
	return config, nil
}
