package simulation

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
)

// archiveEvery is after how many milliseconds records go to the archive at the latest: the least that topics may ask for.
const archiveEvery = "1000"

// Columns of an archive's object, by their place (compaction/PARQUET.md).
const (
	columnOffset = 2
	columnValue  = 8
)

// archivedTo tells up to where the shards say that partitions are archived, by the number of the topic.
func archivedTo(s *shard.State, into map[shard.PartitionID]int64) {
	for _, id := range s.Partitions() {
		if to, _ := s.Archived(id); to > 0 {
			into[id] = to
		}
	}
}

// checkArchive compares the archive with what was read last: each committed record up to where a
// partition is archived is in one object, once, and nothing else is. Nobody reads while it looks.
func (w *world) checkArchive(ctx context.Context, to map[shard.PartitionID]int64) {
	topics := map[string]bool{}
	for _, p := range w.topics.all() {
		if p.cleanup() == byArchive {
			topics[p.topic] = true
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		files, err := w.store.ArchiveFiles(ctx, metastore.ArchiveQuery{Topic: topic, After: metastore.ArchiveBegin(), Limit: 10 * rowsAtOnce})
		if err != nil {
			w.bug("the archive's files can't be listed: %v", err)
			return
		}
		archived := reading{}
		for i := range files {
			p := partition{topic, files[i].Partition}
			if archived[p] == nil {
				archived[p] = map[int64]string{}
			}
			if err := w.readArchived(ctx, &files[i], p, archived[p]); err != nil {
				w.bug("%s can't be read: %v", files[i].Object, err)
			}
		}
		for _, id := range slices.SortedFunc(maps.Keys(to), shard.PartitionID.Compare) {
			if len(files) > 0 && files[0].Number == id.Topic {
				p := partition{topic, id.Index}
				w.compareArchived(p, archived[p], to[id])
			}
		}
	}
}

// readArchived adds the rows of an object to those of its partition.
func (w *world) readArchived(ctx context.Context, f *metastore.ArchiveFile, p partition, rows map[int64]string) error {
	body, err := w.bucket.Get(ctx, f.Object, 0, -1)
	if err != nil {
		return err
	}
	r, err := file.NewParquetReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	if r.NumRows() != f.Rows || int64(len(body)) != f.Bytes || r.NumRowGroups() != 1 {
		return fmt.Errorf("%d rows in %d bytes, its row is %+v", r.NumRows(), len(body), f)
	}
	group := r.RowGroup(0)
	offsets, values, levels := make([]int64, f.Rows), make([]parquet.ByteArray, f.Rows), make([]int16, f.Rows)
	column, err := group.Column(columnOffset)
	if err != nil {
		return err
	}
	if _, n, err := column.(*file.Int64ColumnChunkReader).ReadBatch(f.Rows, offsets, nil, nil); err != nil || int64(n) != f.Rows {
		return cmp.Or(err, fmt.Errorf("%d of %d offsets", n, f.Rows))
	}
	if column, err = group.Column(columnValue); err != nil {
		return err
	}
	if _, n, err := column.(*file.ByteArrayColumnChunkReader).ReadBatch(f.Rows, values, levels, nil); err != nil || int64(n) != f.Rows {
		return cmp.Or(err, fmt.Errorf("%d of %d values", n, f.Rows))
	}
	for i, offset := range offsets {
		if before, twice := rows[offset]; twice {
			w.bug("the archive of %s has offset %d twice: %q and, in %s, %q", p.key(), offset, before, f.Object, values[i])
		}
		rows[offset] = string(values[i])
	}
	return nil
}

// compareArchived compares a partition's archive with what was read of it.
func (w *world) compareArchived(p partition, rows map[int64]string, end int64) {
	read := w.lastRead[p]
	for _, offset := range slices.Sorted(maps.Keys(rows)) {
		if value, there := read[offset]; !there || value != rows[offset] || offset >= end {
			w.bug("the archive of %s, which goes up to %d, has %q at offset %d, where %q is read", p.key(), end, rows[offset], offset, value)
		}
	}
	for _, offset := range slices.Sorted(maps.Keys(read)) {
		if _, there := rows[offset]; !there && offset < end {
			w.bug("the archive of %s, which goes up to %d, lacks %q at offset %d", p.key(), end, read[offset], offset)
		}
	}
}
