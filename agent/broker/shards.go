package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// errNoPartition is what a partition is refused with that is in no catalog, or closed.
var errNoPartition = &refusal{wire.CodeUnknownTopicOrPartition, "This server does not host this topic-partition."}

// place is where a partition is.
type place struct {
	id    shard.PartitionID
	shard int
}

// place returns where a partition of a topic (nil: unknown) is.
func (b *Broker) place(t *catalog.Topic, partition int32) (place, error) {
	if t == nil || partition < 0 || partition >= t.Partitions {
		return place{}, errNoPartition
	}
	return place{shard.PartitionID{Topic: t.Number, Index: partition}, t.Shard(partition, b.cfg.Shards)}, nil
}

// viewShard calls f with the state of a shard. f must not block.
func (b *Broker) viewShard(i int, f func(s *shard.State)) error {
	r := b.deps.Follower.Replica(metastore.ShardJournal(i))
	if err := r.Err(); err != nil {
		return err
	}
	metastore.View(r, f)
	return nil
}

// confirmShards brings shards up to date. A shard that has stopped doesn't silence the
// others; viewShard tells of it.
func (b *Broker) confirmShards(ctx context.Context, shards map[int]bool) error {
	if len(shards) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refreshWaitMax)
	defer cancel()
	journals := make([]metastore.JournalID, 0, len(shards))
	for i := range shards {
		journals = append(journals, metastore.ShardJournal(i))
	}
	err := b.deps.Follower.Refresh(ctx, journals...)
	if err != nil && !errors.Is(err, metastore.ErrStopped) {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return nil
}
