package main

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
)

const (
	flagDir    = "dir"
	defaultDir = "./wadi-data"
)

func dirFlag() cli.Flag {
	return &cli.StringFlag{Name: flagDir, Value: defaultDir, Usage: "keep everything in the folder `DIR`"}
}

func (p *program) devCommand() *cli.Command {
	return &cli.Command{
		Name: "dev", Usage: "run one agent that keeps everything in a folder",
		Description: "Segments lie in DIR/bucket, journals in DIR/metastore.sqlite. One process at a time.\n" +
			"Runs until SIGTERM or SIGINT, which let requests in flight finish; a second one\nends it at once. Nothing acknowledged is lost either way, nor by kill -9.",
		Flags: agentFlags(dirFlag()),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			config, err := p.agentConfig(ctx)
			if err != nil {
				return err
			}
			if config, err = inFolder(config, ctx.String(flagDir)); err != nil {
				return err
			}
			return p.runTracedAgent(ctx, config)
		},
	}
}

// inFolder puts an agent's bucket and metastore into a folder, for it alone.
func inFolder(config agent.Config, dir string) (agent.Config, error) {
	bucket, metastore, err := folderURLs(dir)
	if err != nil {
		return config, err
	}
	config.Folder, config.Bucket, config.Metastore = dir, bucket, metastore
	return config, nil
}

// folderURLs are where dev keeps a folder's parts. Persisted; never rename.
func folderURLs(dir string) (bucket, metastore string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", fmt.Errorf("the folder %q: %w", dir, err)
	}
	return fileURL("file", filepath.Join(dir, "bucket")), fileURL("sqlite", filepath.Join(dir, "metastore.sqlite")), nil
}
