package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent/bucket"
)

// bucketCheckRetry bounds how long a step is repeated: a person waits.
const bucketCheckRetry = 3 * time.Second

// bucketURLs says in one place what --bucket takes.
const bucketURLs = "file:///path, mem://, s3://NAME?region=REGION, gs://NAME, azblob://CONTAINER"

type findingLine struct {
	Step  string `json:"step"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

func (p *program) bucketCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "prove that a bucket does what an agent needs, and measure it", ArgsUsage: "URL",
		Description: "URL is one of " + bucketURLs + ".\nOther S3 servers: s3://NAME?endpoint=http://HOST:PORT&s3ForcePathStyle=true&region=REGION.\n" +
			"Writes a few objects below wadi-bucket-check/ and removes them.",
		Flags: []cli.Flag{outputFlag()},
		Action: func(ctx *cli.Context) (err error) {
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			b, closer, err := bucket.Open(ctx.Context, ctx.Args().First())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closer.Close()) }()
			return p.checkBucket(ctx.Context, b, asJSON)
		},
	}
}

func (p *program) checkBucket(ctx context.Context, b bucket.Bucket, asJSON bool) error {
	retries := bucket.DefaultRetryConfig()
	retries.Elapsed = bucketCheckRetry
	var printed error
	err := bucket.Check(ctx, bucket.Retry(b, retries), func(f bucket.Finding) {
		printed = errors.Join(printed, p.printFinding(f, asJSON))
	})
	if err != nil {
		return err
	}
	if printed == nil && !asJSON {
		_, printed = fmt.Fprintln(p.stdout, "An agent can use this bucket.")
	}
	return printed
}

func (p *program) printFinding(f bucket.Finding, asJSON bool) error {
	return p.printStep(f.Step, f.Text, f.Err, asJSON)
}

// printStep prints what one step of a check found.
func (p *program) printStep(step, text string, err error, asJSON bool) error {
	line := findingLine{Step: step, OK: err == nil, Found: text}
	if err != nil {
		line.Found = err.Error()
	}
	if asJSON {
		return printJSON(p.stdout, line)
	}
	mark := "ok    "
	if !line.OK {
		mark = "FAILED"
		line.Found = "" // The error follows, as that of the command.
	}
	_, err = fmt.Fprintf(p.stdout, "%s  %-28s %s\n", mark, line.Step, line.Found)
	return err
}
