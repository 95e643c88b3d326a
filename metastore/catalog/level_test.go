package catalog

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// level is the effect as a release that knows more levels writes it.
func level(n uint64) []byte {
	return metastore.AppendEffect(nil, metastore.EffectFeatureLevel, binary.AppendUvarint(nil, n))
}

// TestLevel_OnlyRises: also to one that this release doesn't know, since its agent has to see it.
func TestLevel_OnlyRises(t *testing.T) {
	s := New()
	if s.Level() != metastore.LevelFirst {
		t.Errorf("level %d at first", s.Level())
	}
	for _, step := range []struct{ to, want int32 }{{2, 2}, {2, 2}, {metastore.FeatureLevel + 5, metastore.FeatureLevel + 5}, {2, metastore.FeatureLevel + 5}} {
		if _, err := apply(t, s, level(uint64(step.to))); err != nil {
			t.Fatal(err)
		}
		if s.Level() != step.want {
			t.Errorf("level %d after %d", s.Level(), step.to)
		}
	}
	restored := New()
	if err := restored.Restore(s.AppendSnapshot(nil)); err != nil || restored.Level() != s.Level() {
		t.Errorf("restored: level %d, %v", restored.Level(), err)
	}
	if err := s.Restore(New().AppendSnapshot(nil)); err != nil || s.Level() != metastore.LevelFirst {
		t.Errorf("the first level, restored: %d, %v", s.Level(), err)
	}
}

func TestLevel_OutOfRange(t *testing.T) {
	for _, n := range []uint64{0, 1, levelMax + 1, 1 << 63} {
		if _, err := apply(t, New(), level(n)); !errors.Is(err, metastore.ErrCorruptEntry) {
			t.Errorf("level %d: %v", n, err)
		}
	}
	for _, n := range []int32{0, metastore.LevelFirst, metastore.FeatureLevel + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("level %d is written", n)
				}
			}()
			AppendFeatureLevel(nil, n)
		}()
	}
}
