package fetch

import (
	"slices"
	"testing"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

func TestBlocks_VerifiedOnceALoad(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 2)
		b := makeBatch(5, 10, 0)
		through := w.flush(true, produced{Key{topic, 0}, b})
		loaded := w.flush(false, produced{Key{topic, 1}, b})
		w.refresh()
		for _, c := range []struct {
			name      string
			partition int32
			evict     segment.ID
			want      uint64 // checks
		}{
			{"as written", 0, segment.ID{}, 0},
			{"loaded", 1, segment.ID{}, 1},
			{"known by now", 1, segment.ID{}, 0},
			{"loaded again", 1, loaded, 1},
			{"the written one loaded", 0, through, 1},
			{"known by now", 0, segment.ID{}, 0},
		} {
			w.blocks.Cache().Evict(c.evict)
			before := w.blocks.Checks()
			if got := w.one(t, full(asks(topic, 0, c.partition))); !slices.Equal(got[0].offsets, []int64{0, 4}) {
				t.Errorf("%s: %+v", c.name, got)
			}
			if n := w.blocks.Checks() - before; n != c.want {
				t.Errorf("%s: %d extents were verified, not %d", c.name, n, c.want)
			}
		}
	})
}

// A reader that pinned bytes which another one finds wrong must not take the marks
// of the good bytes for its own.
func TestBlocks_MarksOfOtherBytes(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		topic := w.topic("t", 1)
		b := makeBatch(5, 10, 0)
		id := w.flush(false, produced{Key{topic, 0}, b})
		w.refresh()
		e := shard.Extent{Records: 5, Segment: id, Position: 4, Length: int64(len(b))}
		flip := func() {
			w.mu.Lock()
			w.mu.objects[id][4+batch.HeaderSize+3] ^= 1
			w.mu.Unlock()
		}
		flip()
		_, _, before := w.blocks.known(e) // as a reader that pins the wrong bytes now
		if _, err := w.blocks.read(t.Context(), e, 1<<20, false); err == nil {
			t.Fatal("wrong bytes were read")
		}
		flip()
		good, err := w.blocks.read(t.Context(), e, 1<<20, false)
		if err != nil {
			t.Fatal(err)
		}
		good.Release()
		if right, _, evicted := w.blocks.known(e); !right || evicted == before {
			t.Errorf("right %v, evictions %d after %d", right, evicted, before)
		}
	})
}

func TestBlocks_MarksAreBounded(t *testing.T) {
	inWorld(t, 1, nil, func(t *testing.T, w *world) {
		for n := range uint64(2 * marksMax) {
			e := shard.Extent{Segment: segment.ID{Term: 1, Number: n / 3}, Position: int64(n % 3), Length: 1}
			_, load, evicted := w.blocks.known(e)
			w.blocks.verified(e, load, evicted)
		}
		all := 0
		for _, m := range w.blocks.mu.segments {
			all += 1 + len(m.verified)
		}
		if all != w.blocks.mu.count || all > marksMax+4 || len(w.blocks.mu.order) != len(w.blocks.mu.segments) {
			t.Errorf("%d marks, counted %d; %d segments in order of %d", all, w.blocks.mu.count, len(w.blocks.mu.order), len(w.blocks.mu.segments))
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("the zero config is valid")
	}
	if _, err := NewBlocks(cache.Config{}, nil, nil); err == nil {
		t.Error("blocks of no size are valid")
	}
}
