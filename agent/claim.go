package agent

import (
	"cmp"
	"context"
	"crypto/rand"
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
	Bucket  string `json:"bucket"` // what the metastore calls it; drawn when it is claimed
}

// unnamedBucket is the name of one that was claimed before they had names. Persisted.
const unnamedBucket = "unnamed"

// claimant is what notes a cluster's one bucket.
type claimant interface {
	Cluster() metastore.Cluster
	ClaimBucket(ctx context.Context, name string) (noted string, err error)
}

// claimBucket makes bucket and metastore each other's, for ever: a fresh bucket gets the
// cluster's marker if the cluster has no bucket yet. It refuses a bucket that another
// cluster or a newer version wrote, and one that isn't this cluster's.
func claimBucket(ctx context.Context, b bucket.Bucket, store claimant) error {
	body, err := b.Get(ctx, claimKey, 0, -1)
	if errors.Is(err, bucket.ErrNotFound) {
		body, err = markBucket(ctx, b, store)
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
	if id := store.Cluster().ID; c.Cluster != id {
		return fmt.Errorf("the bucket belongs to the cluster %s, and the metastore to %s", c.Cluster, id)
	}
	// If we die before this the marker is there, and the next agent notes its name.
	name := cmp.Or(c.Bucket, unnamedBucket)
	noted, err := store.ClaimBucket(ctx, name)
	if err != nil {
		return err
	}
	if noted != name {
		return fmt.Errorf("the cluster %s keeps its records in another bucket (%s in its %s; this one's is %s)", c.Cluster, noted, claimKey, name)
	}
	return nil
}

// markBucket puts the cluster's marker into a bucket that has none.
func markBucket(ctx context.Context, b bucket.Bucket, store claimant) ([]byte, error) {
	id := store.Cluster().ID
	noted, err := store.ClaimBucket(ctx, "")
	if err != nil {
		return nil, err
	}
	if noted != "" {
		// Another agent may have been first just now: a marker is there before its name is noted.
		body, err := b.Get(ctx, claimKey, 0, -1)
		if errors.Is(err, bucket.ErrNotFound) {
			err = fmt.Errorf("there is no %s in it, and the cluster %s keeps its records in another bucket already", claimKey, id)
		}
		return body, err
	}
	body, err := json.Marshal(claim{Cluster: id, Format: claimFormat, Bucket: rand.Text()})
	if err != nil {
		return nil, err
	}
	err = b.Put(ctx, claimKey, body)
	if errors.Is(err, bucket.ErrExists) {
		return b.Get(ctx, claimKey, 0, -1) // Another agent was first.
	}
	return body, err
}
