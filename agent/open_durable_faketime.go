//go:build faketime

package agent

import (
	"context"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

// openDurable refuses: bench/simulation builds agents with this tag, where no
// metastore outlives the process.
func openDurable(_ context.Context, scheme, _, _ string) (metastore.Store, error) {
	return nil, fmt.Errorf("the metastore's scheme %q is not memory", scheme)
}
