package main

import (
	"bytes"
	"context"

	"github.com/wadi-io/wadi/compaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// mergedPiece is an extent as a row names it.
type mergedPiece struct {
	metastore.ExtentRow
	topic [16]byte
}

// readRows reads what the tables name.
func (a *auditor) readRows(ctx context.Context) error {
	a.rows = map[shard.PartitionID][]metastore.ExtentRow{}
	q := metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin(), Limit: compaction.ListMax}
	for {
		page, err := a.store.Extents(ctx, q)
		if err != nil {
			return err
		}
		for _, row := range page {
			id := shard.PartitionID{Topic: row.Topic, Index: row.Partition}
			a.rows[id] = append(a.rows[id], row)
			q.After = row.Key()
		}
		if len(page) < q.Limit {
			return nil
		}
	}
}

// mergedExtents gathers a partition's merged extents, and returns the offset after them.
func (a *auditor) mergedExtents(id shard.PartitionID, topic [16]byte, start int64) (next int64) {
	next = start
	for _, row := range a.rows[id] {
		a.merged++
		if row.Base != next {
			a.found("partition %v goes on at offset %d in %s, not at %d", id, row.Base, row.Object, next)
		}
		next = row.End
		a.merges[row.Object] = append(a.merges[row.Object], mergedPiece{row, topic})
	}
	return next
}

// readMerged reads a partition segment: whole, by its checksums, and compares what it
// says of each extent with the extent's row.
func (a *auditor) readMerged(ctx context.Context, key string, pieces []mergedPiece) {
	body, err := a.bucket.Get(ctx, key, 0, -1)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.found("%d rows name %s, which can't be read: %v", len(pieces), key, err)
		return
	}
	s, err := segment.ParseMerged(body)
	if err == nil {
		err = s.Verify()
	}
	if err != nil {
		a.found("%d rows name %s, which is damaged: %v", len(pieces), key, err)
		return
	}
	if s.ID.Key() != key {
		a.found("%s says that it is %v", key, s.ID)
	}
	for _, p := range pieces {
		if !p.in(s) {
			a.found("offsets %d to %d of partition %d of topic %x aren't in %s as their row says", p.Base, p.End, p.Partition, p.topic, key)
		}
	}
}

// in tells whether a segment has the extent just as the row says.
func (p mergedPiece) in(s *segment.MergedSegment) bool {
	for _, e := range s.Extents {
		if e.Topic == p.topic && e.Number == p.Topic && e.Partition == p.Partition && e.Base == p.Base && e.End == p.End {
			return s.Shard == p.Shard && e.Position == p.Position && e.Length == p.Length && e.Records == p.Records && bytes.Equal(e.Coded, p.Index)
		}
	}
	return false
}
