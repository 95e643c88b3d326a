package agent

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
	"github.com/wadi-io/wadi/metastore/postgres"
	"github.com/wadi-io/wadi/metastore/sqlite"
)

// openStore opens the metastore that a URL names, and makes the cluster if there is none yet.
func openStore(ctx context.Context, rawURL string) (metastore.Store, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, fmt.Errorf("the metastore %q is not a URL", rawURL)
	}
	switch scheme {
	case "postgres", "postgresql":
		return postgres.Open(ctx, rawURL, metastore.DefaultCluster())
	case "sqlite":
		path, err := url.PathUnescape(rest)
		if err != nil || path == "" {
			return nil, fmt.Errorf("the metastore %q names no file", rawURL)
		}
		return sqlite.Open(ctx, path, metastore.DefaultCluster())
	case "memory":
		return memory.New(time.Now, metastore.DefaultCluster()), nil
	}
	return nil, fmt.Errorf("the metastore's scheme %q is none of postgres, sqlite, memory", scheme)
}
