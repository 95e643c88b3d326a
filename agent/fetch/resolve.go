package fetch

import (
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
)

// Resolver returns a Deps.Resolve that looks into the catalog's replica.
func Resolver(r *metastore.Replica, shards int) func(Key) (Place, error) {
	return func(key Key) (place Place, err error) {
		metastore.View(r, func(s *catalog.State) {
			var t *catalog.Topic
			if key.Topic.Name != "" {
				t = s.Topic(key.Topic.Name)
			} else if t = s.ByID(key.Topic.ID); t == nil && key.Topic != (Topic{}) {
				err = ErrUnknownTopicID
				return
			}
			if t == nil || key.Partition < 0 || key.Partition >= t.Partitions {
				err = ErrUnknownPartition
				return
			}
			place = Place{ID: shard.PartitionID{Topic: t.Number, Index: key.Partition}, Shard: t.Shard(key.Partition, shards), Topic: t.Name}
		})
		return place, err
	}
}
