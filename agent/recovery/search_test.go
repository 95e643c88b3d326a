package recovery

import (
	"context"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/wire/segment"
)

// numbered is a bucket with the segments 1 to last of term 7, but for some.
type numbered struct {
	last  uint64
	lists int
}

func (b *numbered) Get(context.Context, string, int64, int64) ([]byte, error) {
	return nil, bucket.ErrNotFound
}

func (b *numbered) List(_ context.Context, prefix, after string, limit int) (page []bucket.Object, err error) {
	b.lists++
	begin := uint64(1)
	if id, ok := segment.ParseKey(after); ok {
		begin = id.Number + 1
	}
	for n := begin; n <= b.last && len(page) < limit; n++ {
		if n%3 != 0 || n == b.last { // others were collected
			page = append(page, bucket.Object{Key: segment.ID{Term: 7, Number: n}.Key()})
		}
	}
	return page, nil
}

// TestLastSegment_Requests: a fail-over waits for them.
func TestLastSegment_Requests(t *testing.T) {
	for _, row := range []struct {
		last     uint64
		listsMax int
	}{{0, 1}, {1, 1}, {999, 1}, {1400, 1}, {1600, 3}, {100_000, 26}, {1_000_000, 31}} {
		b := &numbered{last: row.last}
		got, err := lastSegment(t.Context(), b, 7)
		if err != nil || got != row.last || b.lists > row.listsMax {
			t.Errorf("of %d: %d by %d lists, %v; want at most %d", row.last, got, b.lists, err, row.listsMax)
		}
	}
}
