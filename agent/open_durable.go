//go:build !faketime

package agent

import (
	"context"
	"fmt"
	"net/url"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/postgres"
	"github.com/wadi-io/wadi/metastore/sqlite"
)

// openDurable opens a metastore that outlives the process.
func openDurable(ctx context.Context, scheme, rest, rawURL string) (metastore.Store, error) {
	switch scheme {
	case "postgres", "postgresql":
		return postgres.Open(ctx, rawURL, metastore.DefaultCluster())
	case "sqlite":
		path, err := url.PathUnescape(rest)
		if err != nil || path == "" {
			return nil, fmt.Errorf("the metastore %q names no file", rawURL)
		}
		return sqlite.Open(ctx, path, metastore.DefaultCluster())
	}
	return nil, fmt.Errorf("the metastore's scheme %q is none of postgres, sqlite, memory", scheme)
}
