package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/wire/segment"
)

// segmentPrefix is where segments lie in a bucket.
const segmentPrefix = "segments/"

func bucketFlags(more ...cli.Flag) []cli.Flag {
	return append(more, dirFlag(),
		&cli.StringFlag{Name: "bucket", Usage: "read the bucket at `URL` instead of that of --dir"})
}

// openBucket opens the bucket that the flags name. It must be there: a folder
// is not made for having been looked into.
func openBucket(ctx *cli.Context) (bucket.Bucket, io.Closer, error) {
	raw := ctx.String("bucket")
	if raw == "" {
		var err error
		if raw, _, err = folderURLs(ctx.String(flagDir)); err != nil {
			return nil, nil, err
		}
	}
	if u, err := url.Parse(raw); err == nil && u.Scheme == "file" {
		if _, err := os.Stat(u.Path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("there is no bucket at %s: say where one is with --dir or --bucket", u.Path)
		}
	}
	return bucket.Open(ctx.Context, raw)
}

type segmentLine struct {
	Key      string    `json:"key"`
	Term     uint64    `json:"term"`
	Number   uint64    `json:"number"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

func (p *program) segmentsListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the segments in the bucket, oldest first",
		Flags: bucketFlags(outputFlag()),
		Action: func(ctx *cli.Context) (err error) {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			b, closer, err := openBucket(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closer.Close()) }()
			return p.listSegments(ctx.Context, b, asJSON)
		},
	}
}

func (p *program) listSegments(ctx context.Context, b bucket.Bucket, asJSON bool) error {
	var rows [][]string
	var total int64
	for object, err := range bucket.All(ctx, b, segmentPrefix) {
		if err != nil {
			return fmt.Errorf("list the bucket: %w", err)
		}
		id, ok := segment.ParseKey(object.Key)
		if !ok {
			continue
		}
		total += object.Size
		if asJSON {
			if err := printJSON(p.stdout, segmentLine{object.Key, id.Term, id.Number, object.Size, object.Modified.UTC()}); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{object.Key, strconv.FormatInt(object.Size, 10), object.Modified.Local().Format(time.DateTime)})
	}
	if asJSON {
		return nil
	}
	if err := printTable(p.stdout, []string{"KEY", "BYTES", "WRITTEN"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%s, %s\n", plural(int64(len(rows)), "segment"), size(total))
	return err
}

func (p *program) segmentsShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "print what is in a segment", ArgsUsage: "KEY",
		Description: "KEY is a key as segments list prints it, or TERM/NUMBER. The segment's checksums are\nchecked; one that is not whole is said to be corrupt.",
		Flags:       bucketFlags(&cli.BoolFlag{Name: "records", Usage: "print the records too"}),
		Action: func(ctx *cli.Context) (err error) {
			if err := argumentCount(ctx, 1, 1); err != nil {
				return err
			}
			id, err := segmentID(ctx.Args().First())
			if err != nil {
				return err
			}
			b, closer, err := openBucket(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closer.Close()) }()
			body, err := b.Get(ctx.Context, id.Key(), 0, -1)
			if errors.Is(err, bucket.ErrNotFound) {
				return fmt.Errorf("there is no segment %s in the bucket", id.Key())
			}
			if err != nil {
				return fmt.Errorf("read the segment %s: %w", id.Key(), err)
			}
			if err := segment.Dump(p.stdout, body, ctx.Bool("records")); err != nil {
				return fmt.Errorf("show the segment %s: %w", id.Key(), err)
			}
			return nil
		},
	}
}

// segmentID reads a key, or a term and a number as a person types them.
func segmentID(text string) (segment.ID, error) {
	if id, ok := segment.ParseKey(text); ok {
		return id, nil
	}
	term, number, ok := strings.Cut(strings.TrimPrefix(text, segmentPrefix), "/")
	t, err := strconv.ParseUint(term, 10, 64)
	n, err2 := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || err2 != nil {
		return segment.ID{}, usagef("%q is neither a segment's key nor TERM/NUMBER", text)
	}
	return segment.ID{Term: t, Number: n}, nil
}
