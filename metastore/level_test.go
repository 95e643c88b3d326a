package metastore

import (
	"errors"
	"testing"
)

// TestCheckLevels finds a newer kind wherever it is in an append, and asks nothing where there is none.
func TestCheckLevels(t *testing.T) {
	effects := func(kinds ...EffectKind) (all []byte) {
		for _, k := range kinds {
			all = AppendEffect(all, k, []byte("body"))
		}
		return all
	}
	old := []Draft{{Effects: effects(EffectFlush, EffectFence)}, {Effects: effects(EffectFeatureLevel)}}
	if err := checkLevels(old, func() int32 { t.Error("the level is asked for"); return 0 }); err != nil {
		t.Error(err)
	}
	newer := append(old, Draft{Journal: ShardJournal(3), Effects: effects(EffectFlush, EffectSwap)})
	for level, want := range map[int32]error{LevelFirst: ErrLevel, LevelTransactions: nil, LevelTransactions + 1: nil} {
		if err := checkLevels(newer, func() int32 { return level }); !errors.Is(err, want) {
			t.Errorf("level %d: %v", level, err)
		}
	}
	if err := checkLevels([]Draft{{Effects: []byte{0xff}}}, func() int32 { return 9 }); !errors.Is(err, ErrCorruptEntry) {
		t.Errorf("a corrupt draft: %v", err)
	}
}

// TestLevelOf holds down what an older release can read: a change here is a change of history.
func TestLevelOf(t *testing.T) {
	for kind := range EffectKind(128) {
		level := LevelOf(kind)
		first := kind < EffectGroupConfig || kind >= EffectPartitionsOpened && kind <= EffectLogStart ||
			kind >= EffectGroupGeneration && kind <= EffectGroupDeleted || kind == EffectConsumerChange
		if named := len(kind.String()) < 7 || kind.String()[:7] != "effect-"; named && (level == LevelFirst) != first {
			t.Errorf("%v is of level %d", kind, level)
		}
	}
}
