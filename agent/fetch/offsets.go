package fetch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// Timestamps that ask for a place in the log instead, as ListOffsets has them.
const (
	TimestampLatest                = -1 // the end that the reader may read to
	TimestampEarliest              = -2 // the log start
	TimestampMax                   = -3 // the record with the largest timestamp (KIP-734)
	TimestampEarliestLocal         = -4 // the log start: there is no other tier (KIP-405)
	TimestampLatestTiered          = -5 // none (KIP-1005)
	TimestampEarliestPendingUpload = -6 // none (KIP-1023)
)

// OffsetAsk asks for the offset at a time.
type OffsetAsk struct {
	Key
	CurrentEpoch  int32 // leader epoch the reader knows, -1 for none
	Timestamp     int64 // ms, or one of the constants
	ReadCommitted bool
}

// Offset is a place in a log: of the first record with a timestamp no earlier than
// the one asked for, or of what a constant stands for.
type Offset struct {
	Offset, Timestamp int64 // -1 where there is none
	Epoch             int32 // leader epoch; -1 where there is none
	Err               error
}

// none is the answer where nothing was found.
var none = Offset{Offset: -1, Timestamp: -1, Epoch: -1}

// Bounds are a partition's, at one version of its shard that was its newest after
// the question came.
type Bounds struct {
	LogStart, HighWatermark, LastStable int64
	Err                                 error
	place                               Place
}

// Bounds resolves the partitions, refreshes their shards and returns their bounds, in order.
func (f *Fetcher) Bounds(ctx context.Context, keys []Key) []Bounds {
	all := make([]Bounds, len(keys))
	var journals []metastore.JournalID
	for i, key := range keys {
		b := &all[i]
		if b.place, b.Err = f.deps.Resolve(key); b.Err == nil {
			journals = append(journals, metastore.ShardJournal(b.place.Shard))
		}
	}
	if len(journals) == 0 {
		return all
	}
	// A journal that has stopped is an error of the refresh too; it must not silence
	// the others, and view tells of it.
	err := f.refresh(ctx, journals)
	unknown := err != nil && !f.stopped(journals)
	for i := range all {
		b := &all[i]
		switch {
		case b.Err != nil:
		case unknown:
			b.Err = fmt.Errorf("%w: %w", ErrStale, err)
		default:
			b.Err, _ = f.view(b.place.Shard, true, func(s *shard.State) (error, bool) {
				var ok bool
				if b.LogStart, b.HighWatermark, b.LastStable, ok = s.Bounds(b.place.ID); !ok {
					return ErrUnknownPartition, false
				}
				return nil, false
			})
		}
	}
	return all
}

func (f *Fetcher) stopped(journals []metastore.JournalID) bool {
	return slices.ContainsFunc(journals, func(id metastore.JournalID) bool {
		i, _ := id.Shard()
		return f.deps.Replica(i).Err() != nil
	})
}

// Offsets answers each ask on replicas refreshed after the call. Records are read
// for several partitions at a time.
func (f *Fetcher) Offsets(ctx context.Context, asks []OffsetAsk) []Offset {
	keys := make([]Key, len(asks))
	for i := range asks {
		keys[i] = asks[i].Key
	}
	bounds := f.Bounds(ctx, keys)
	answers := make([]Offset, len(asks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(f.cfg.LoadsMax, len(asks)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(asks) {
					return
				}
				answers[i] = f.offset(ctx, &asks[i], &bounds[i])
			}
		})
	}
	wg.Wait()
	return answers
}

func (f *Fetcher) offset(ctx context.Context, ask *OffsetAsk, b *Bounds) Offset {
	a := none
	a.Err = b.Err
	if a.Err == nil {
		a.Err = epochError(ask.CurrentEpoch)
	}
	if a.Err != nil {
		return a
	}
	upper := b.HighWatermark
	if ask.ReadCommitted {
		upper = b.LastStable
	}
	switch ask.Timestamp {
	case TimestampLatest:
		a.Offset, a.Epoch = upper, 0
	case TimestampEarliest, TimestampEarliestLocal:
		a.Offset, a.Epoch = b.LogStart, 0
	case TimestampLatestTiered, TimestampEarliestPendingUpload:
	case TimestampMax:
		a = f.latest(ctx, b.place)
	default:
		a = f.since(ctx, b.place, ask.Timestamp)
	}
	if a.Offset >= upper && ask.Timestamp != TimestampLatest && ask.Timestamp != TimestampEarliest && ask.Timestamp != TimestampEarliestLocal {
		return none // beyond what the reader may read
	}
	return a
}

// epochError checks the leader epoch that a reader knows: the only one is 0.
func epochError(current int32) error {
	switch {
	case current > 0:
		return ErrUnknownLeaderEpoch
	case current < -1:
		return ErrFencedLeaderEpoch
	}
	return nil
}
