package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// repairLease is how long the term of a repair may take.
const repairLease = time.Minute

func (p *program) verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "compare the bucket with the metastore, both ways",
		Description: "Prints a bill of what the bucket holds. The exit code is 1 if something is missing or\nthe metastore doesn't agree with itself. Agents may run meanwhile.",
		Flags: bucketFlags(
			&cli.StringFlag{Name: "metastore", Usage: "compare with the metastore at `URL`"},
			&cli.BoolFlag{Name: "repair-orphans", Usage: "mark garbage, so that agents delete it after the grace (without it nothing is changed)"},
		),
		Action: func(ctx *cli.Context) (err error) {
			if err := argumentCount(ctx, 0, 0); err != nil {
				return err
			}
			if ctx.String("metastore") == "" {
				return usagef("--metastore is needed")
			}
			b, closer, err := openBucket(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closer.Close()) }()
			store, err := agent.OpenStore(ctx.Context, ctx.String("metastore"))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			return p.verify(ctx.Context, b, store, ctx.Bool("repair-orphans"))
		},
	}
}

func (p *program) verify(ctx context.Context, b bucket.Bucket, store metastore.Store, repair bool) error {
	follower := metastore.NewFollower(store, b, metastore.DefaultFollowerConfig())
	for i := range store.Cluster().Shards {
		follower.Follow(metastore.ShardJournal(i), shard.New())
	}
	if err := follower.Load(ctx); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		follower.Run(following)
	}()
	defer func() { stop(); <-done }()
	bill, err := compaction.Verify(ctx, compaction.Deps{
		Bucket: compactionBucket{b}, Store: store, Refresh: follower.Refresh, Now: time.Now,
		Replica: func(i int) *metastore.Replica { return follower.Replica(metastore.ShardJournal(i)) },
	})
	if err != nil {
		return err
	}
	var rows [][]string
	for _, line := range []struct {
		name string
		item compaction.Item
	}{{"live", bill.Live}, {"retired", bill.Retired}, {"garbage", bill.Garbage}, {"in flight", bill.InFlight}, {"other", bill.Other}} {
		rows = append(rows, []string{line.name, fmt.Sprint(line.item.Objects), size(line.item.Bytes)})
	}
	rows = append(rows, []string{"missing", fmt.Sprint(len(bill.Missing)), ""})
	if err := printTable(p.stdout, []string{"WHAT", "OBJECTS", "SIZE"}, rows); err != nil {
		return err
	}
	for _, key := range bill.Missing {
		fmt.Fprintf(p.stdout, "missing: %s\n", key)
	}
	for _, wrong := range bill.Wrong {
		fmt.Fprintf(p.stdout, "wrong: %s\n", wrong)
	}
	if repair {
		if err := p.retireGarbage(ctx, store, bill); err != nil {
			return err
		}
	}
	if !bill.Agrees() {
		return errors.New("bucket and metastore don't agree")
	}
	return nil
}

// retireGarbage marks it in a term of its own, so that what is asked is refused once that has ended.
func (p *program) retireGarbage(ctx context.Context, store metastore.Store, bill *compaction.Bill) (err error) {
	info, err := store.BeginTerm(ctx, metastore.AgentInfo{Process: "wadi verify", Roles: metastore.RoleCompaction}, repairLease)
	if err != nil {
		return fmt.Errorf("begin a term: %w", err)
	}
	defer func() {
		_, endErr := store.EndTerm(ctx, info.Term, true)
		err = errors.Join(err, endErr)
	}()
	n, err := bill.RetireGarbage(ctx, store, info.Term)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s will be deleted after the grace\n", plural(int64(n), "object"))
	return err
}
