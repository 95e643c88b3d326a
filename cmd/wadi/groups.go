package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/urfave/cli/v2"
)

type groupLine struct {
	Group    string `json:"group"`
	State    string `json:"state"`
	Protocol string `json:"protocol_type"`
}

func (p *program) groupsListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list consumer groups",
		Flags:  clientFlags(outputFlag()),
		Action: func(ctx *cli.Context) error { return asAdmin(ctx, 0, 0, p.groupsList) },
	}
}

func (p *program) groupsList(timed context.Context, admin *kadm.Client, asJSON bool) error {
	groups, err := admin.ListGroups(timed)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	rows := [][]string{}
	for _, g := range groups.Sorted() {
		if asJSON {
			if err := printJSON(p.stdout, groupLine{g.Group, g.State, g.ProtocolType}); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{g.Group, g.State, g.ProtocolType})
	}
	if asJSON {
		return nil
	}
	return printTable(p.stdout, []string{"GROUP", "STATE", "PROTOCOL TYPE"}, rows)
}

// lagLine is where a group stands in one partition.
type lagLine struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: nothing
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`              // records, -1: unknown
	LagMs     *int64 `json:"lag_ms,omitempty"` // age of the oldest unread record; absent: unknown
	Member    string `json:"member,omitempty"`
	Client    string `json:"client_id,omitempty"`
}

func (p *program) groupsDescribeCommand() *cli.Command {
	return &cli.Command{
		Name: "describe", Usage: "show groups' members, commits and lag, in records and in time", ArgsUsage: "GROUP...",
		Description: "The lag in time is the age of the oldest record that the group has not read, by the\ntime that the record carries.",
		Flags:       clientFlags(outputFlag()),
		Action: func(ctx *cli.Context) error {
			return asAdmin(ctx, 1, -1, func(timed context.Context, admin *kadm.Client, asJSON bool) error {
				lags, err := admin.Lag(timed, ctx.Args().Slice()...)
				if err != nil {
					return fmt.Errorf("describe groups: %w", err)
				}
				for i, g := range lags.Sorted() {
					if err := g.Error(); err != nil {
						return fmt.Errorf("describe group %q: %w", g.Group, err)
					}
					oldest, err := oldestUnread(ctx, timed, g.Lag)
					if err != nil {
						return fmt.Errorf("describe group %q: %w", g.Group, err)
					}
					if err := p.printGroup(&g, oldest, asJSON, i > 0); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (p *program) printGroup(g *kadm.DescribedGroupLag, oldest map[place]time.Time, asJSON, another bool) error {
	rows := [][]string{}
	now := time.Now()
	var first time.Time // of all unread records
	for _, l := range g.Lag.Sorted() {
		line := lagLine{Group: g.Group, Topic: l.Topic, Partition: l.Partition, Committed: l.Commit.At, End: l.End.Offset, Lag: l.Lag}
		at, found := oldest[place{l.Topic, l.Partition}]
		switch {
		case found:
			ms := max(now.Sub(at).Milliseconds(), 0)
			line.LagMs = &ms
			if first.IsZero() || at.Before(first) {
				first = at
			}
		case l.Lag == 0:
			line.LagMs = new(int64)
		}
		if l.Member != nil {
			line.Member, line.Client = l.Member.MemberID, l.Member.ClientID
		}
		if asJSON {
			if err := printJSON(p.stdout, line); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{line.Topic, strconv.Itoa(int(line.Partition)), known(line.Committed), known(line.End), known(line.Lag), age(at, now), line.Member})
	}
	if asJSON {
		return nil
	}
	if another {
		fmt.Fprintln(p.stdout)
	}
	behind := plural(g.Lag.Total(), "record") + " behind"
	if !first.IsZero() {
		behind += ", the oldest " + age(first, now) + " old"
	}
	fmt.Fprintf(p.stdout, "%s: %s, %s, %s\n", g.Group, g.State, plural(int64(len(g.Members)), "member"), behind)
	return printTable(p.stdout, []string{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "OLDEST", "MEMBER"}, rows)
}

// known is a number, or a dash for one that is not known.
func known(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func (p *program) groupsResetCommand() *cli.Command {
	return &cli.Command{
		Name: "reset", Usage: "move an empty group's commits", ArgsUsage: "GROUP",
		Description: "--to is earliest, latest, an offset, -N for the last N of each partition, a time\n" +
			"(2018-02-06, 2018-02-06T12:00:00Z, @milliseconds) or how long ago (15m, 24h).",
		Flags: clientFlags(
			&cli.StringFlag{Name: "to", Usage: "move to `WHERE`"},
			&cli.StringSliceFlag{Name: "topic", Usage: "in this topic only (repeatable); needed where the group has no commits yet"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would move, and move nothing"},
		),
		Action: p.groupsReset,
	}
}

func (p *program) groupsReset(ctx *cli.Context) error {
	if err := argumentCount(ctx, 1, 1); err != nil {
		return err
	}
	if !ctx.IsSet("to") {
		return usagef("say where the commits are to go: --to WHERE; see %s --help", ctx.Command.HelpName)
	}
	to, err := parsePosition(ctx.String("to"), time.Now())
	if err != nil {
		return usagef("--to: %s", err)
	}
	admin, timed, done, err := connectAdmin(ctx)
	if err != nil {
		return err
	}
	defer done()
	name := ctx.Args().First()
	before, err := admin.FetchOffsets(timed, name)
	if err == nil {
		err = before.Error()
	}
	if err != nil {
		return fmt.Errorf("reset group %q: %w", name, err)
	}
	topics := ctx.StringSlice("topic")
	if len(topics) == 0 {
		for topic := range before {
			topics = append(topics, topic)
		}
	}
	if len(topics) == 0 {
		return fmt.Errorf("the group %q has no commits: say by --topic where it is to begin", name)
	}
	slices.Sort(topics)
	var moved kadm.Offsets
	rows := [][]string{}
	for _, topic := range topics {
		ranges, err := resolve(timed, admin, topic, anyPartition, to)
		if err != nil {
			return fmt.Errorf("reset group %q in %q: %w", name, topic, err)
		}
		for partition := range int32(len(ranges)) {
			at := ranges[partition].start
			moved.Add(kadm.Offset{Topic: topic, Partition: partition, At: at, LeaderEpoch: -1})
			was := int64(-1)
			if o, ok := before.Lookup(topic, partition); ok {
				was = o.At
			}
			rows = append(rows, []string{topic, strconv.Itoa(int(partition)), known(was), known(at)})
		}
	}
	if !ctx.Bool("dry-run") {
		// As a member of no generation: Kafka takes it only while the group is empty.
		answers, err := admin.CommitOffsets(timed, name, moved)
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			return fmt.Errorf("reset group %q: %w", name, err)
		}
	}
	return printTable(p.stdout, []string{"TOPIC", "PARTITION", "FROM", "TO"}, rows)
}

func (p *program) groupsDeleteCommand() *cli.Command {
	return &cli.Command{
		Name: "delete", Usage: "delete empty groups and their commits", ArgsUsage: "GROUP...",
		Flags: clientFlags(),
		Action: func(ctx *cli.Context) error {
			if err := argumentCount(ctx, 1, -1); err != nil {
				return err
			}
			admin, timed, done, err := connectAdmin(ctx)
			if err != nil {
				return err
			}
			defer done()
			answers, err := admin.DeleteGroups(timed, ctx.Args().Slice()...)
			if err != nil {
				return fmt.Errorf("delete groups: %w", err)
			}
			return p.eachTopic(ctx, "delete", func(name string) (string, error) {
				return "deleted " + name, answers[name].Err
			})
		},
	}
}
