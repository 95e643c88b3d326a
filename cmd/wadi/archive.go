package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/columns"
)

// archiveRowsRead is how many rows one statement reads.
const archiveRowsRead = 1000

// archiveAction is the action of a command on one topic's archive.
func (p *program) archiveAction(do func(ctx *cli.Context, store metastore.Store, topic string) error) cli.ActionFunc {
	return func(ctx *cli.Context) (err error) {
		if err := argumentCount(ctx, 1, 1); err != nil {
			return err
		}
		if ctx.String("metastore") == "" {
			return usagef("--metastore is needed")
		}
		store, err := openExisting(ctx.Context, ctx.String("metastore"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		return do(ctx, store, ctx.Args().First())
	}
}

func archiveMetastoreFlag() cli.Flag {
	return &cli.StringFlag{Name: "metastore", Usage: "ask the metastore at `URL`"}
}

type archiveLine struct {
	Object    string `json:"object"`
	Partition int32  `json:"partition"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`
	Date      string `json:"date"`
	Hour      int    `json:"hour"`
	Value     string `json:"value"` // how kafka_value is typed, or dlq
}

// eachArchiveFile calls f with the rows of a topic's archive, in the order of partition and offset.
func eachArchiveFile(ctx context.Context, store metastore.Store, topic string, f func(*metastore.ArchiveFile) error) error {
	q := metastore.ArchiveQuery{Topic: topic, After: metastore.ArchiveBegin(), Limit: archiveRowsRead}
	for {
		files, err := store.ArchiveFiles(ctx, q)
		if err != nil {
			return err
		}
		for i := range files {
			q.After = files[i].Key()
			if err := f(&files[i]); err != nil {
				return err
			}
		}
		if len(files) < q.Limit {
			return nil
		}
	}
}

func (p *program) archiveListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the Parquet objects of a topic's archive", ArgsUsage: "TOPIC",
		Flags: []cli.Flag{archiveMetastoreFlag(), outputFlag()},
		Action: p.archiveAction(func(ctx *cli.Context, store metastore.Store, topic string) error {
			asJSON, err := wantsJSON(ctx)
			if err != nil {
				return err
			}
			var rows [][]string
			err = eachArchiveFile(ctx.Context, store, topic, func(f *metastore.ArchiveFile) error {
				if asJSON {
					return printJSON(p.stdout, archiveLine{f.Object, f.Partition, f.First, f.Last, f.Rows, f.Bytes, f.Date, f.Hour, f.Value})
				}
				rows = append(rows, []string{fmt.Sprint(f.Partition), fmt.Sprint(f.First), fmt.Sprint(f.Last), fmt.Sprint(f.Rows), size(f.Bytes), f.Object})
				return nil
			})
			if err != nil || asJSON {
				return err
			}
			return printTable(p.stdout, []string{"PARTITION", "FIRST", "LAST", "RECORDS", "SIZE", "OBJECT"}, rows)
		}),
	}
}

func (p *program) archiveSQLCommand() *cli.Command {
	return &cli.Command{
		Name: "sql", Usage: "print the statement that makes a topic's archive a table", ArgsUsage: "TOPIC",
		Description: "For athena and redshift, whose statements list the columns, the newest object is read.",
		Flags: []cli.Flag{
			archiveMetastoreFlag(),
			&cli.StringFlag{Name: "bucket", Usage: "the objects are in the bucket at `URL`"},
			&cli.StringFlag{Name: "engine", Value: "duckdb", Usage: "for `ENGINE`: " + strings.Join(archive.Engines(), ", ")},
			&cli.BoolFlag{Name: "dlq", Usage: "of the records that wadi.archive.schema could not type"},
		},
		Action: p.archiveAction(func(ctx *cli.Context, store metastore.Store, topic string) error {
			u, err := url.Parse(ctx.String("bucket"))
			if err != nil || u.Scheme == "" {
				return usagef("--bucket is needed, as agents have it")
			}
			l := archive.Listed{Topic: topic, Value: archive.Binary, Dead: ctx.Bool("dlq")}
			var newest metastore.ArchiveFile
			err = eachArchiveFile(ctx.Context, store, topic, func(f *metastore.ArchiveFile) error {
				if f.Value != archive.Dead && !f.Created.Before(newest.Created) {
					newest = *f
				}
				return nil
			})
			if err != nil {
				return err
			}
			if newest.Object != "" {
				l.Value = archive.Value(newest.Value)
				if archive.NeedsColumns(ctx.String("engine")) && !l.Dead {
					if l.Columns, err = typedColumns(ctx.Context, ctx.String("bucket"), &newest); err != nil {
						return err
					}
				}
			}
			statement, err := archive.SQL(ctx.String("engine"), *u, l)
			if err != nil {
				return usagef("%v", err)
			}
			_, err = fmt.Fprintln(p.stdout, statement)
			return err
		}),
	}
}

// typedColumns reads which typed columns an object has.
func typedColumns(ctx context.Context, bucketURL string, f *metastore.ArchiveFile) (s columns.Schema, err error) {
	b, closer, err := bucket.Open(ctx, bucketURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	read := readerAt(func(p []byte, at int64) (int, error) { return b.GetInto(ctx, f.Object, at, p) })
	if s, err = archive.ColumnsOf(io.NewSectionReader(read, 0, f.Bytes)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Object, err)
	}
	return s, nil
}

// readerAt reads an object.
type readerAt func(p []byte, at int64) (int, error)

func (r readerAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := r(p, at)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}
