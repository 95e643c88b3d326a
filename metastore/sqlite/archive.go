package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

const beginArchiveSQL = `insert into archive_progress (topic, partition, upto) values (?, ?, ?) on conflict do nothing`

const moveArchiveSQL = `update archive_progress set upto = ? where topic = ? and partition = ? and upto = ?`

const placeFileSQL = `insert into archive_files
	(object, topic, topic_id, number, partition, first, last, rows, bytes, min_timestamp, max_timestamp, date, hour, value, created_at)
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// changeArchive notes what is in the archive since, after the objects have their rows.
func (t *writeTx) changeArchive(rows *metastore.Rows) error {
	for _, a := range rows.Archived {
		var n int64
		var err error
		if a.Expected == 0 {
			n, err = t.exec(beginArchiveSQL, int64(a.Topic), a.Partition, a.To)
		} else {
			n, err = t.exec(moveArchiveSQL, a.To, int64(a.Topic), a.Partition, a.Expected)
		}
		if err != nil || n == 0 {
			return orTaken(err, fmt.Sprintf("note the archive of partition %d of topic %d", a.Partition, a.Topic))
		}
	}
	for i := range rows.Files {
		f := &rows.Files[i]
		_, err := t.exec(placeFileSQL, f.Object, f.Topic, f.TopicID, int64(f.Number), f.Partition, f.First, f.Last, f.Rows, f.Bytes,
			f.MinTimestamp, f.MaxTimestamp, f.Date, f.Hour, f.Value, t.now)
		if err != nil {
			return fmt.Errorf("note archive file %s: %w", f.Object, err)
		}
	}
	return nil
}

const fileColumns = `select object, topic, topic_id, number, partition, first, last, rows, bytes, min_timestamp, max_timestamp, date, hour, value, created_at
	from archive_files `

const filesByTopicSQL = fileColumns + `where topic = ?1 and (partition, first, object) > (?2, ?3, ?4) order by partition, first, object limit ?5`

const filesExpiredSQL = fileColumns + `where number = ?1 and max_timestamp >= 0 and max_timestamp < ?2 order by max_timestamp, object limit ?3`

// ArchiveFiles implements metastore.Store.
func (s *Store) ArchiveFiles(ctx context.Context, q metastore.ArchiveQuery) ([]metastore.ArchiveFile, error) {
	var rows *sql.Rows
	var err error
	if limit := max(q.Limit, 0); q.Expired {
		rows, err = s.statements[filesExpiredSQL].QueryContext(ctx, int64(q.Number), q.Before, limit)
	} else {
		rows, err = s.statements[filesByTopicSQL].QueryContext(ctx, q.Topic, q.After.Partition, q.After.First, q.After.Object, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive files: %w", err)
	}
	defer rows.Close()
	var found []metastore.ArchiveFile
	for rows.Next() {
		var f metastore.ArchiveFile
		var number, created int64
		if err := rows.Scan(&f.Object, &f.Topic, &f.TopicID, &number, &f.Partition, &f.First, &f.Last, &f.Rows, &f.Bytes,
			&f.MinTimestamp, &f.MaxTimestamp, &f.Date, &f.Hour, &f.Value, &created); err != nil {
			return nil, fmt.Errorf("read archive files: %w", err)
		}
		f.Number, f.Created = uint64(number), time.UnixMicro(created)
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read archive files: %w", err)
	}
	return found, nil
}

const removeFileSQL = `delete from archive_files where object = ?`

const retireFileSQL = `update segments set retired_at = ?, reason = ? where object = ? and retired_at is null`

// RemoveArchiveFiles implements metastore.Store.
func (s *Store) RemoveArchiveFiles(ctx context.Context, term metastore.Term, reason string, objects []string) error {
	if err := metastore.CheckRemoveFiles(reason, objects); err != nil {
		return err
	}
	return s.write(ctx, "remove archive files", func(tx *writeTx) error {
		if err := tx.checkLive(term); err != nil {
			return err
		}
		for _, o := range objects {
			n, err := tx.exec(removeFileSQL, o)
			if err == nil && n > 0 {
				_, err = tx.exec(retireFileSQL, tx.now, reason, o)
			}
			if err != nil {
				return fmt.Errorf("remove archive file %s: %w", o, err)
			}
		}
		return nil
	})
}
