package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Config is what a Coordinator is told.
type Config struct {
	Journals              int           // of the cluster's groups
	SessionMin            time.Duration // group.min.session.timeout.ms
	SessionMax            time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	GroupSizeMax          int           // group.max.size
	NewMemberTimeout      time.Duration // a new member's join is given up after it
	ConsumerSession       time.Duration // group.consumer.session.timeout.ms
	ConsumerHeartbeat     time.Duration // group.consumer.heartbeat.interval.ms
	ConsumerSizeMax       int           // group.consumer.max.size
	Assignors             []string      // group.consumer.assignors; the first is the default
	Upgrades              bool          // a classic group with members goes over to the consumer group protocol (group.consumer.migration.policy)
	Downgrades            bool          // and back, once its members are all classic again
	Retention             time.Duration // offsets.retention.minutes
	SweepEvery            time.Duration // offsets.retention.check.interval.ms
	AppendEvery           time.Duration // from one append to the next, but for a burst
	AppendBurst           int           // appends that may begin at once, after as many have been spared
	GroupsMax             int           // held in memory
	MemberBytesMax        int64         // of the protocols of all members, in memory
}

// DefaultConfig returns Apache Kafka's defaults, for a cluster with so many groups journals.
func DefaultConfig(journals int) Config {
	return Config{
		Journals:              journals,
		SessionMin:            6 * time.Second,
		SessionMax:            30 * time.Minute,
		InitialRebalanceDelay: 3 * time.Second,
		GroupSizeMax:          1<<31 - 1,
		NewMemberTimeout:      5 * time.Minute,
		ConsumerSession:       45 * time.Second,
		ConsumerHeartbeat:     5 * time.Second,
		ConsumerSizeMax:       1<<31 - 1,
		Assignors:             slices.Clone(assignors[:]),
		Upgrades:              true,
		Downgrades:            true,
		Retention:             7 * 24 * time.Hour,
		SweepEvery:            10 * time.Minute,
		AppendEvery:           20 * time.Millisecond,
		AppendBurst:           50,
		GroupsMax:             200_000,
		MemberBytesMax:        512 << 20,
	}
}

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	switch {
	case c.Journals < 1:
		return errors.New("a cluster has at least one groups journal")
	case c.SessionMin < 0 || c.SessionMax < c.SessionMin:
		return fmt.Errorf("sessions of %v to %v", c.SessionMin, c.SessionMax)
	case c.InitialRebalanceDelay < 0 || c.NewMemberTimeout <= 0 || c.AppendEvery < 0:
		return errors.New("a delay of groups is below 0")
	case c.Retention <= 0 || c.SweepEvery <= 0:
		return errors.New("retention of offsets and its checks take more than no time")
	case c.ConsumerHeartbeat <= 0 || c.ConsumerSession <= c.ConsumerHeartbeat:
		return errors.New("a session of the consumer group protocol is longer than the interval of its heartbeats")
	case len(c.Assignors) == 0 || slices.ContainsFunc(c.Assignors, func(name string) bool { return !slices.Contains(assignors[:], name) }):
		return fmt.Errorf("assignors %q: there are uniform and range", c.Assignors)
	case c.GroupSizeMax < 1 || c.ConsumerSizeMax < 1 || c.GroupsMax < 1 || c.MemberBytesMax < 1 || c.AppendBurst < 1:
		return errors.New("a limit of groups is below 1")
	}
	return nil
}

// Writer appends to the journals.
type Writer interface {
	Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error)
	Term() metastore.Term
}

// Follower has the journals' replicas and brings them up to date.
type Follower interface {
	Replica(id metastore.JournalID) *metastore.Replica
	Refresh(ctx context.Context, journals ...metastore.JournalID) error
}

// Deps are the parts that a Coordinator stands on.
type Deps struct {
	Writer   Writer
	Follower Follower           // of the groups journals
	Catalog  *metastore.Replica // of a *catalog.State
	Clock    func() time.Time   // the database's, by which offsets expire
	Log      *slog.Logger
	// Owns tells whether this agent coordinates the groups of a journal; nil: all.
	Owns func(journal int) bool
	// Settled tells whether nobody else may still coordinate them: an agent that lives but
	// is out of reach, or about to leave. Until then a group is taken up only when a member
	// comes here, so that the sessions of members that are still there don't expire here. nil: always.
	Settled func(journal int) bool
	// Changed returns a channel that is closed when Owns or Settled may say something else; nil: never.
	Changed func() <-chan struct{}
	// Shared says that other agents may write to the journals: then Confirm reads them. That
	// no other agent is known at the moment is no reason to think so.
	Shared bool
	// Level is the cluster's feature level; nil: the newest.
	Level func() int32
	// ConsumerTimes returns the session time-out and the heartbeat interval that the configs of
	// a group set for its members of the consumer group protocol, 0 where they say nothing; nil:
	// no group has configs.
	ConsumerTimes func(group string) (session, heartbeat time.Duration)
}
