package transaction

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Config is what a Coordinator is told.
type Config struct {
	Journals, Groups, Shards int           // of the cluster
	TimeoutMax               time.Duration // transaction.max.timeout.ms
	AbortEvery               time.Duration // looks for what has timed out (transaction.abort.timed.out.transaction.cleanup.interval.ms)
	ExpireEvery              time.Duration // looks for ids that nobody uses (transaction.remove.expired.transaction.cleanup.interval.ms)
	Expiration               time.Duration // of such ids (transactional.id.expiration.ms)
	ResumeEvery              time.Duration // looks for what was decided and is not complete
	EndBytesMax              int           // of the markers and groups' ends that go along with a decision
	StrictPause              time.Duration // after a strict append was refused, decisions go alone
	QueueMax                 int           // requests that wait for one journal
	RefreshMax               time.Duration // of the wait for a read
}

// DefaultConfig returns Apache Kafka's defaults, and ours, for a cluster.
func DefaultConfig(c metastore.Cluster) Config {
	return Config{
		Journals:    c.Transactions,
		Groups:      c.Groups,
		Shards:      c.Shards,
		TimeoutMax:  15 * time.Minute,
		AbortEvery:  10 * time.Second,
		ExpireEvery: time.Hour,
		Expiration:  7 * 24 * time.Hour,
		ResumeEvery: time.Second,
		EndBytesMax: 64 << 10,
		StrictPause: time.Second,
		QueueMax:    10_000,
		RefreshMax:  5 * time.Second,
	}
}

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	switch {
	case c.Journals < 1 || c.Groups < 1 || c.Shards < 1:
		return errors.New("a cluster has journals of transactions, groups and shards")
	case c.TimeoutMax <= 0 || c.AbortEvery <= 0 || c.ExpireEvery <= 0 || c.Expiration <= 0 || c.ResumeEvery <= 0 || c.RefreshMax <= 0:
		return errors.New("times of transactions are above 0")
	case c.EndBytesMax < 0 || c.EndBytesMax > effectsBytesMax || c.QueueMax < 1:
		return errors.New("a limit of transactions is out of bounds")
	}
	return nil
}

// effectsBytesMax bounds the effects of one entry, in bytes.
const effectsBytesMax = metastore.EntryBytesMax - metastore.HeaderBytesMax

// Writer appends to the journals.
type Writer interface {
	Append(ctx context.Context, drafts []metastore.Draft) (*metastore.Landed, error)
}

// Follower has the journals' replicas and brings them up to date.
type Follower interface {
	Replica(id metastore.JournalID) *metastore.Replica
	Refresh(ctx context.Context, journals ...metastore.JournalID) error
}

// Deps are the parts that a Coordinator stands on.
type Deps struct {
	Writer   Writer
	Follower Follower
	Clock    func() time.Time // the database's, by which transactions time out
	Log      *slog.Logger
	// Owns tells whether this agent coordinates the ids of a journal; nil: all.
	Owns func(journal int) bool
}
