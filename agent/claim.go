package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
)

// claimKey is the object that says whose bucket it is. Persisted.
const claimKey = "cluster.json"

// claimFormat is the layout of a bucket that this program reads and writes. Persisted.
const claimFormat = 1

// claim is the content of the object.
type claim struct {
	Cluster string `json:"cluster"`
	Format  int    `json:"format"`
}

// claimBucket writes the cluster's name into a fresh bucket, and refuses one that
// another cluster or a newer version wrote.
func claimBucket(ctx context.Context, b bucket.Bucket, cluster metastore.Cluster) error {
	body, err := b.Get(ctx, claimKey, 0, -1)
	if errors.Is(err, bucket.ErrNotFound) {
		body, err = json.Marshal(claim{Cluster: cluster.ID, Format: claimFormat})
		if err != nil {
			return err
		}
		if err = b.Put(ctx, claimKey, body); err == nil {
			return nil
		}
		if !errors.Is(err, bucket.ErrExists) && !errors.Is(err, bucket.ErrConflict) {
			return fmt.Errorf("claim the bucket: %w", err)
		}
		body, err = b.Get(ctx, claimKey, 0, -1) // Another agent was first.
	}
	if err != nil {
		return fmt.Errorf("read whose bucket it is: %w", err)
	}
	var c claim
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("%s in the bucket is not what wadi writes: %w", claimKey, err)
	}
	if c.Format > claimFormat {
		return fmt.Errorf("the bucket was written by a newer version of wadi (format %d; this one knows %d)", c.Format, claimFormat)
	}
	if c.Cluster != cluster.ID {
		return fmt.Errorf("the bucket belongs to the cluster %s, and the metastore to %s", c.Cluster, cluster.ID)
	}
	return nil
}
