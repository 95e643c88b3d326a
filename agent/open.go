package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// openStore opens the metastore that a URL names, and makes the cluster if there is none yet.
func openStore(ctx context.Context, rawURL string) (metastore.Store, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, fmt.Errorf("the metastore %q is not a URL", rawURL)
	}
	if scheme == "memory" {
		return memory.New(time.Now, metastore.DefaultCluster()), nil
	}
	return openDurable(ctx, scheme, rest, rawURL)
}
