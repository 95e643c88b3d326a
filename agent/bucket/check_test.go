package bucket_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
)

// replacing ignores that puts must be create-only.
type replacing struct{ bucket.Bucket }

func (r replacing) Put(ctx context.Context, key string, body []byte) error {
	if err := r.Delete(ctx, key); err != nil {
		return err
	}
	return r.Bucket.Put(ctx, key, body)
}

// TestCheck: whatever is found, nothing of it stays in the bucket.
func TestCheck(t *testing.T) {
	refuse := func(op bucket.Op, n int) func(bucket.Bucket) bucket.Bucket {
		return func(b bucket.Bucket) bucket.Bucket {
			return bucket.Faults(b, func(c bucket.Call) bucket.Fault { return bucket.Fault{Refused: c.Op == op && c.N == n} })
		}
	}
	for _, c := range []struct {
		name  string
		wrap  func(bucket.Bucket) bucket.Bucket
		found int    // steps told
		step  string // that fails
	}{
		{"all is well", func(b bucket.Bucket) bucket.Bucket { return b }, 8, ""},
		{"no writes", refuse(bucket.OpPut, 1), 1, "write: "},
		{"writes replace", func(b bucket.Bucket) bucket.Bucket { return replacing{b} }, 2, "an object was replaced"},
		{"no reads", refuse(bucket.OpGet, 1), 3, "read: "},
		{"no lists", refuse(bucket.OpList, 1), 5, "list: "},
		{"no deletes", refuse(bucket.OpDelete, 1), 6, "delete: "},
		{"flipped bits", func(b bucket.Bucket) bucket.Bucket {
			return bucket.Faults(b, func(c bucket.Call) bucket.Fault { return bucket.Fault{Flip: c.Op == bucket.OpGet} })
		}, 3, "isn't what was written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := openMem(t)
			var found []bucket.Finding
			err := bucket.Check(t.Context(), c.wrap(inner), func(f bucket.Finding) { found = append(found, f) })
			if (err == nil) != (c.step == "") || err != nil && !strings.Contains(err.Error(), c.step) {
				t.Errorf("error %v; want %q", err, c.step)
			}
			if len(found) != c.found || !errors.Is(err, found[len(found)-1].Err) {
				t.Errorf("found %+v", found)
			}
			if left, err := inner.List(t.Context(), "", "", 0); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
