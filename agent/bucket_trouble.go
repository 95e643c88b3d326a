package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/metastore"
)

// bucketTroubleAfter is how long all requests of a kind must fail before it is told: a
// few refusals, or one slow answer, are the cloud's everyday.
const bucketTroubleAfter = 2 * time.Second

// bucketTrouble tells when a kind of request to the bucket gets no answer that helps.
type bucketTrouble map[bucket.Op]*metastore.Trouble

func newBucketTrouble(log *slog.Logger) bucketTrouble {
	b := bucketTrouble{}
	for _, op := range []bucket.Op{bucket.OpPut, bucket.OpGet, bucket.OpDelete, bucket.OpList} {
		b[op] = &metastore.Trouble{Log: log, Level: slog.LevelWarn, After: bucketTroubleAfter,
			Begun: "requests to the bucket fail, and are repeated", Over: "requests to the bucket succeed again"}
	}
	return b
}

// observe takes each try of a request.
func (b bucketTrouble) observe(r bucket.Request) {
	trouble := b[r.Op]
	switch {
	case errors.Is(r.Err, context.Canceled): // by who asked
	case r.Err == nil, errors.Is(r.Err, bucket.ErrExists), errors.Is(r.Err, bucket.ErrNotFound):
		trouble.End("kind", string(r.Op))
	default:
		trouble.Meet(r.Err, "kind", string(r.Op), "key", r.Key)
	}
}
