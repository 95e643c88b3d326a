package metastore

import (
	"errors"
	"fmt"
)

// The feature levels: what a cluster's agents can be counted on to read. Persisted, with
// terms and in the catalog; never renumber. A kind of entry that is new in a release
// gets the release's level in LevelOf.
const (
	LevelFirst        int32 = 1 // a cluster whose catalog names none
	LevelTransactions int32 = 2 // transactions, merged history, recoveries, groups of both protocols, configs of groups

	// FeatureLevel is the newest level of entries that this release reads and writes.
	FeatureLevel = LevelTransactions
)

// ErrLevel refuses an append: an effect of it can't be read by every agent that may be alive.
// Nothing was appended.
var ErrLevel = errors.New("agents of an older release may be alive")

// LevelOf is the feature level from which on effects of a kind may be written.
func LevelOf(kind EffectKind) int32 {
	switch kind {
	case EffectGroupConfig,
		EffectMarker, EffectSwap, EffectJump, EffectArchived,
		EffectOffsetsPending, EffectOffsetsEnded, EffectConsumerMixed, EffectConsumerDowngraded, EffectEndedForgotten, EffectGroupsTaken,
		EffectTransactionInit, EffectTransactionAdded, EffectTransactionDecided, EffectTransactionCompleted, EffectTransactionRemoved:
		return LevelTransactions
	}
	// EffectFeatureLevel too: it is how a cluster leaves the first level, and is
	// written on what the live agents themselves say that they read.
	return LevelFirst
}

// checkLevels refuses drafts with an effect that is beyond the cluster's level, which is
// asked for only if any is beyond the first.
func checkLevels(drafts []Draft, level func() int32) error {
	if level == nil {
		return nil
	}
	for _, d := range drafts {
		for effects := (Effects{rest: d.Effects}); ; {
			kind, _, ok, err := effects.Next()
			if err != nil {
				return fmt.Errorf("a draft for %v: %w", d.Journal, err)
			}
			if !ok {
				break
			}
			if needs := LevelOf(kind); needs > LevelFirst {
				if now := level(); now < needs {
					return fmt.Errorf("%w: %v takes feature level %d and the cluster is at %d", ErrLevel, kind, needs, now)
				}
			}
		}
	}
	return nil
}
