package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
)

const appendArchiveSQL = `select outcome, versions, lost_journal, lost_head, wadi.in_time($25) and wadi.settled($26)
	from wadi.append_archive($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`

// archiveArgs are the arguments of append_archive after those of append.
func archiveArgs(rows *metastore.Rows) []any {
	made, ranges, of := newColumns(len(rows.Segments)), newColumns(len(rows.Archived)), newColumns(len(rows.Files))
	for _, o := range rows.Segments {
		made.objects, made.segSize = append(made.objects, o.Object), append(made.segSize, o.Size)
	}
	for _, a := range rows.Archived {
		ranges.topics = append(ranges.topics, int64(a.Topic))
		ranges.partitions = append(ranges.partitions, a.Partition)
		ranges.bases = append(ranges.bases, a.Expected)
		ranges.ends = append(ranges.ends, a.To)
	}
	// Empty, not nil: nil would be null.
	topics, ids, dates, values := []string{}, []string{}, []string{}, []string{}
	mins, hours := []int64{}, []int32{}
	for i := range rows.Files {
		f := &rows.Files[i]
		of.objects = append(of.objects, f.Object)
		topics, ids = append(topics, f.Topic), append(ids, f.TopicID)
		of.topics = append(of.topics, int64(f.Number))
		of.partitions = append(of.partitions, f.Partition)
		of.bases, of.ends = append(of.bases, f.First), append(of.ends, f.Last)
		of.records, of.lengths = append(of.records, f.Rows), append(of.lengths, f.Bytes)
		mins, of.times = append(mins, f.MinTimestamp), append(of.times, f.MaxTimestamp)
		dates, hours, values = append(dates, f.Date), append(hours, int32(f.Hour)), append(values, f.Value)
	}
	return []any{
		made.objects, made.segSize, ranges.topics, ranges.partitions, ranges.bases, ranges.ends,
		of.objects, topics, ids, of.topics, of.partitions, of.bases, of.ends, of.records, of.lengths, mins, of.times, dates, hours, values,
	}
}

const fileColumns = `select object, topic, topic_id, number, partition, first, last, rows, bytes, min_timestamp, max_timestamp, date, hour, value, created_at
	from wadi.archive_files `

const filesByTopicSQL = fileColumns + `where topic = $1 and (partition, first, object) > ($2, $3, $4) order by partition, first, object limit $5`

const filesExpiredSQL = fileColumns + `where number = $1 and max_timestamp >= 0 and max_timestamp < $2 order by max_timestamp, object limit $3`

// ArchiveFiles implements metastore.Store.
func (s *Store) ArchiveFiles(ctx context.Context, q metastore.ArchiveQuery) ([]metastore.ArchiveFile, error) {
	var rows pgx.Rows
	var err error
	if limit := int64(max(q.Limit, 0)); q.Expired {
		rows, err = s.pool.Query(ctx, s.sql[filesExpiredSQL], int64(q.Number), q.Before, limit)
	} else {
		rows, err = s.pool.Query(ctx, s.sql[filesByTopicSQL], q.Topic, q.After.Partition, q.After.First, q.After.Object, limit)
	}
	if err != nil {
		return nil, failed(ctx, s.pool, "read archive files", err)
	}
	defer rows.Close()
	var found []metastore.ArchiveFile
	for rows.Next() {
		var f metastore.ArchiveFile
		var number int64
		var hour int32
		if err := rows.Scan(&f.Object, &f.Topic, &f.TopicID, &number, &f.Partition, &f.First, &f.Last, &f.Rows, &f.Bytes,
			&f.MinTimestamp, &f.MaxTimestamp, &f.Date, &hour, &f.Value, &f.Created); err != nil {
			return nil, failed(ctx, s.pool, "read archive files", err)
		}
		f.Number, f.Hour = uint64(number), int(hour)
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, s.pool, "read archive files", err)
	}
	return found, nil
}

const removeArchiveSQL = `select outcome from wadi.remove_archive($1, $2, $3)`

// RemoveArchiveFiles implements metastore.Store.
func (s *Store) RemoveArchiveFiles(ctx context.Context, term metastore.Term, reason string, objects []string) error {
	if err := metastore.CheckRemoveFiles(reason, objects); err != nil {
		return err
	}
	return s.ofTerm(ctx, "remove archive files", removeArchiveSQL, int64(term), reason, append([]string{}, objects...))
}
