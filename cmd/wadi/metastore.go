package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wadi-io/wadi/agent"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/postgres"
)

// metastoreURLs says in one place what the commands take.
const metastoreURLs = "postgres://USER@HOST/DATABASE?sslmode=verify-full&wadi_schema=NAME or sqlite:///path"

func isPostgres(raw string) bool {
	return strings.HasPrefix(raw, "postgres://") || strings.HasPrefix(raw, "postgresql://")
}

// metastoreAction is the action of a command on one metastore.
func (p *program) metastoreAction(do func(ctx context.Context, raw string, asJSON bool) error) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if err := argumentCount(ctx, 1, 1); err != nil {
			return err
		}
		asJSON, err := wantsJSON(ctx)
		if err != nil {
			return err
		}
		return do(ctx.Context, ctx.Args().First(), asJSON)
	}
}

func (p *program) metastoreCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "prove that a Postgres does what a cluster needs, and measure it", ArgsUsage: "URL",
		Description: "URL is postgres://USER@HOST/DATABASE?sslmode=verify-full&wadi_schema=NAME. Changes nothing.",
		Flags:       []cli.Flag{outputFlag()},
		Action: p.metastoreAction(func(ctx context.Context, raw string, asJSON bool) error {
			if !isPostgres(raw) {
				return usagef("%q is not a Postgres URL; a SQLite file is checked by the agent that opens it", redacted(raw))
			}
			var printed error
			err := postgres.Check(ctx, raw, func(f postgres.Finding) {
				printed = errors.Join(printed, p.printStep(f.Step, f.Text, f.Err, asJSON))
			})
			if err == nil && printed == nil && !asJSON {
				_, printed = fmt.Fprintln(p.stdout, "Agents can use this metastore.")
			}
			return errors.Join(err, printed)
		}),
	}
}

func (p *program) metastoreMigrateCommand() *cli.Command {
	return &cli.Command{
		Name: "migrate", Usage: "bring a metastore's tables to this release's state", ArgsUsage: "URL",
		Description: "URL is " + metastoreURLs + ".\nAgents do it when they start; this does it beforehand, under another role if need be.\nMigrations only go forward, and wait for no lock longer than 5 s.",
		Flags:       []cli.Flag{outputFlag()},
		Action: p.metastoreAction(func(ctx context.Context, raw string, asJSON bool) error {
			if !isPostgres(raw) {
				return usagef("%q is not a Postgres URL; a SQLite file is migrated by the agent that opens it", redacted(raw))
			}
			taken, now, err := postgres.Migrate(ctx, raw)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.stdout, struct {
					Taken int `json:"taken"`
					Now   int `json:"now"`
				}{taken, now})
			}
			_, err = fmt.Fprintf(p.stdout, "%s taken; the metastore is at migration %d.\n", plural(int64(taken), "migration"), now)
			return err
		}),
	}
}

// inspected is a store that the commands look into.
type inspected interface {
	metastore.Store
	metastore.LostTails
	metastore.Inspector
}

func openExisting(ctx context.Context, raw string) (inspected, error) {
	if isPostgres(raw) {
		return postgres.OpenExisting(ctx, raw)
	}
	if u, err := url.Parse(raw); err != nil || u.Scheme != "sqlite" || !fileExists(u.Path) {
		return nil, fmt.Errorf("there is no metastore at %q: it must be %s", redacted(raw), metastoreURLs)
	}
	store, err := agent.OpenStore(ctx, raw)
	if err != nil {
		return nil, err
	}
	return store.(inspected), nil
}

type termLine struct {
	Term     uint64  `json:"term"`
	Node     int32   `json:"node"`
	Zone     string  `json:"zone"`
	Seat     int32   `json:"seat"`
	Roles    string  `json:"roles"`
	Kafka    string  `json:"kafka"`
	Process  string  `json:"process"`
	LeaseSec float64 `json:"lease_left_seconds"`
	Draining bool    `json:"draining"`
}

type journalLine struct {
	Journal     string     `json:"journal"`
	Head        uint64     `json:"head"`
	Entries     int64      `json:"entries"`
	Bytes       int64      `json:"bytes"`
	Snapshot    uint64     `json:"snapshot"`
	SnapshotAt  *time.Time `json:"snapshot_at,omitempty"`
	LostHead    uint64     `json:"lost_after,omitempty"`
	LostThrough uint64     `json:"lost_through,omitempty"`
}

type statusLine struct {
	Cluster      string        `json:"cluster"`
	Shards       int           `json:"shards"`
	Groups       int           `json:"groups"`
	Transactions int           `json:"transactions"`
	Terms        []termLine    `json:"terms"`
	Journals     []journalLine `json:"journals"`
}

func (p *program) metastoreStatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "print the live agents and what each journal keeps", ArgsUsage: "URL",
		Description: "URL is " + metastoreURLs + ".\nJournals that were never written are left out of the text. Counting their entries reads them all.",
		Flags:       []cli.Flag{outputFlag()},
		Action: p.metastoreAction(func(ctx context.Context, raw string, asJSON bool) (err error) {
			store, err := openExisting(ctx, raw)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			s, err := metastoreStatus(ctx, store)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.stdout, s)
			}
			return p.printStatus(s)
		}),
	}
}

func metastoreStatus(ctx context.Context, store inspected) (statusLine, error) {
	c := store.Cluster()
	s := statusLine{Cluster: c.ID, Shards: c.Shards, Groups: c.Groups, Transactions: c.Transactions, Terms: []termLine{}}
	terms, err := store.Terms(ctx)
	if err != nil {
		return s, err
	}
	for _, t := range terms {
		a := t.Agent
		s.Terms = append(s.Terms, termLine{uint64(t.Term), t.Node, a.Zone, t.Seat, a.Roles.String(), fmt.Sprintf("%s:%d", a.KafkaHost, a.KafkaPort),
			a.Process, t.LeaseLeft.Seconds(), t.Draining})
	}
	lost, err := store.LostTails(ctx)
	if err != nil {
		return s, err
	}
	marks := map[metastore.JournalID]metastore.LostTail{}
	for _, l := range lost {
		marks[l.Journal] = l
	}
	journals, err := store.Journals(ctx)
	for _, j := range journals {
		line := journalLine{Journal: j.Journal.String(), Head: uint64(j.Head), Entries: j.Entries, Bytes: j.Bytes, Snapshot: uint64(j.Snapshot)}
		if !j.PlacedAt.IsZero() {
			at := j.PlacedAt.UTC()
			line.SnapshotAt = &at
		}
		if l, ok := marks[j.Journal]; ok {
			line.LostHead, line.LostThrough = uint64(l.Head), uint64(l.Seen)
		}
		s.Journals = append(s.Journals, line)
	}
	return s, err
}

func (p *program) printStatus(s statusLine) error {
	fmt.Fprintf(p.stdout, "cluster %s: %d shards, %d journals of groups, %d of transactions\n\n", s.Cluster, s.Shards, s.Groups, s.Transactions)
	var rows [][]string
	for _, t := range s.Terms {
		lease := time.Duration(t.LeaseSec * float64(time.Second)).Round(100 * time.Millisecond).String()
		if t.LeaseSec < 0 {
			lease = "expired"
		}
		if t.Draining {
			lease += ", draining"
		}
		rows = append(rows, []string{fmt.Sprint(t.Term), fmt.Sprint(t.Node), t.Zone, fmt.Sprint(t.Seat), t.Roles, t.Kafka, lease})
	}
	if err := printTable(p.stdout, []string{"TERM", "NODE", "ZONE", "SEAT", "ROLES", "KAFKA", "LEASE"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	rows = rows[:0]
	for _, j := range s.Journals {
		if j.Head == 0 && j.LostThrough == 0 {
			continue
		}
		snapshot, state := "none", ""
		if j.SnapshotAt != nil {
			snapshot = fmt.Sprintf("%d, %v ago", j.Snapshot, time.Since(*j.SnapshotAt).Round(time.Second))
		}
		if j.LostThrough > 0 {
			state = fmt.Sprintf("LOST ITS TAIL: %d to %d", j.LostHead+1, j.LostThrough)
		}
		rows = append(rows, []string{j.Journal, fmt.Sprint(j.Head), count(j.Entries), size(j.Bytes), snapshot, state})
	}
	return printTable(p.stdout, []string{"JOURNAL", "HEAD", "ENTRIES", "BYTES", "SNAPSHOT", ""}, rows)
}
