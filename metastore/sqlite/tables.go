package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

const takenSegmentSQL = `insert into segments (object, size, created_at) values (?, ?, ?) on conflict do nothing`

const removeExtentSQL = `delete from extents where topic = ? and partition = ? and base = ? and object = ?`

// overlapSQL finds the last extent that begins below an end: another one that it
// would overlap is this one or begins below it.
const overlapSQL = `select "end", highest from extents where topic = ? and partition = ? and base < ? order by base desc limit 1`

const placeExtentSQL = `insert into extents
	(topic, partition, base, "end", shard, object, position, length, records, max_timestamp, highest, "index")
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const retireReplacedSQL = `update segments set retired_at = ?, reason = ? where object = ? and retired_at is null
	and not exists (select 1 from extents e where e.object = segments.object)`

// AppendRows implements metastore.Store.
func (s *Store) AppendRows(ctx context.Context, term metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	if err := s.cluster.CheckRows(parts, &rows); err != nil {
		return nil, err
	}
	var versions []metastore.Version
	err := s.write(ctx, fmt.Sprintf("append to %d journals with rows", len(parts)), func(tx *writeTx) (err error) {
		if versions, err = tx.append(term, parts); err != nil {
			return err
		}
		return tx.changeRows(&rows)
	})
	if err != nil {
		return nil, err
	}
	return versions, nil
}

// changeRows changes the tables, or returns an error, by which all is rolled back.
func (t *writeTx) changeRows(rows *metastore.Rows) error {
	if !rows.By.IsZero() && t.now > rows.By.UnixMicro() {
		return metastore.ErrRowsTaken
	}
	for i := range rows.Segments {
		o := &rows.Segments[i]
		if n, err := t.exec(takenSegmentSQL, o.Object, o.Size, t.now); err != nil || n == 0 {
			return orTaken(err, "note segment "+o.Object)
		}
	}
	for _, k := range rows.Removed {
		if n, err := t.exec(removeExtentSQL, int64(k.Topic), k.Partition, k.Base, k.Object); err != nil || n == 0 {
			return orTaken(err, "remove an extent of "+k.Object)
		}
	}
	for i := range rows.Extents {
		if err := t.placeExtent(&rows.Extents[i]); err != nil {
			return err
		}
	}
	for _, k := range rows.Removed {
		if _, err := t.exec(retireReplacedSQL, t.now, metastore.ReasonReplaced, k.Object); err != nil {
			return fmt.Errorf("retire %s: %w", k.Object, err)
		}
	}
	return t.changeArchive(rows)
}

func (t *writeTx) placeExtent(e *metastore.ExtentRow) error {
	end, highest := int64(0), e.MaxTimestamp
	err := t.row(overlapSQL, int64(e.Topic), e.Partition, e.End).Scan(&end, &highest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return fmt.Errorf("look for extents beside one of %s: %w", e.Object, err)
	case end > e.Base:
		return metastore.ErrRowsTaken
	}
	_, err = t.exec(placeExtentSQL, int64(e.Topic), e.Partition, e.Base, e.End, e.Shard, e.Object, e.Position, e.Length,
		e.Records, e.MaxTimestamp, max(highest, e.MaxTimestamp), notNil(e.Index))
	if err != nil {
		return fmt.Errorf("place an extent of %s: %w", e.Object, err)
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func orTaken(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return metastore.ErrRowsTaken
}

const extentColumns = `select shard, topic, partition, base, "end", object, position, length, records, max_timestamp, "index" from extents `

const extentsByOffsetSQL = extentColumns + `where topic = ?1 and partition = ?2 and base >= coalesce(
		(select max(b.base) from extents b where b.topic = ?1 and b.partition = ?2 and b.base <= ?3), 0) and "end" > ?3
	order by base limit ?4`

const extentsBySinceSQL = extentColumns + `where topic = ?1 and partition = ?2 and base >=
		(select h.base from extents h where h.topic = ?1 and h.partition = ?2 and h.highest >= ?3 order by h.highest, h.base limit 1)
	order by base limit ?4`

const extentsByLatestSQL = extentColumns + `where topic = ?1 and partition = ?2 order by max_timestamp desc, base limit ?3`

const extentsSmallSQL = extentColumns + `where shard = ?1 and length < 134217728 and (topic, partition, base) > (?2, ?3, ?4)
	order by topic, partition, base limit ?5`

const extentsEverySQL = extentColumns + `where (topic, partition, base) > (?1, ?2, ?3) order by topic, partition, base limit ?4`

// Extents implements metastore.Store.
func (s *Store) Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error) {
	var rows *sql.Rows
	var err error
	topic, limit := int64(q.Topic), max(q.Limit, 0)
	switch q.Order {
	case metastore.BySince:
		rows, err = s.statements[extentsBySinceSQL].QueryContext(ctx, topic, q.Partition, q.Timestamp, limit)
	case metastore.ByLatest:
		rows, err = s.statements[extentsByLatestSQL].QueryContext(ctx, topic, q.Partition, limit)
	case metastore.Small:
		rows, err = s.statements[extentsSmallSQL].QueryContext(ctx, q.Shard, int64(q.After.Topic), q.After.Partition, q.After.Base, limit)
	case metastore.Every:
		rows, err = s.statements[extentsEverySQL].QueryContext(ctx, int64(q.After.Topic), q.After.Partition, q.After.Base, limit)
	default:
		rows, err = s.statements[extentsByOffsetSQL].QueryContext(ctx, topic, q.Partition, q.Offset, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read extents: %w", err)
	}
	defer rows.Close()
	var found []metastore.ExtentRow
	for rows.Next() {
		var e metastore.ExtentRow
		var topic int64
		if err := rows.Scan(&e.Shard, &topic, &e.Partition, &e.Base, &e.End, &e.Object, &e.Position, &e.Length, &e.Records, &e.MaxTimestamp, &e.Index); err != nil {
			return nil, fmt.Errorf("read extents: %w", err)
		}
		e.Topic = uint64(topic)
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read extents: %w", err)
	}
	return found, nil
}

// Each topic is found by its own descent of the key: what lies between isn't read.
const extentTopicsSQL = `with recursive t(topic, n) as (
		select (select min(topic) from extents where topic > ?1), 1
		union all
		select (select min(e.topic) from extents e where e.topic > t.topic), t.n + 1 from t where t.topic is not null and t.n < ?2
	) select topic from t where topic is not null order by topic`

// ExtentTopics implements metastore.Store.
func (s *Store) ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error) {
	if limit < 1 {
		return nil, nil
	}
	rows, err := s.statements[extentTopicsSQL].QueryContext(ctx, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("list the extents' topics: %w", err)
	}
	defer rows.Close()
	var topics []uint64
	for rows.Next() {
		var topic int64
		if err := rows.Scan(&topic); err != nil {
			return nil, fmt.Errorf("list the extents' topics: %w", err)
		}
		topics = append(topics, uint64(topic))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the extents' topics: %w", err)
	}
	return topics, nil
}

const retireSQL = `insert into segments (object, size, created_at, retired_at, reason) values (?, ?, ?, ?, ?) on conflict do nothing`

// Retire implements metastore.Store.
func (s *Store) Retire(ctx context.Context, term metastore.Term, reason string, objects []metastore.SegmentRow) error {
	if err := metastore.CheckRetire(reason, objects); err != nil {
		return err
	}
	return s.write(ctx, "retire objects", func(tx *writeTx) error {
		if err := tx.checkLive(term); err != nil {
			return err
		}
		for _, o := range objects {
			if _, err := tx.exec(retireSQL, o.Object, o.Size, tx.now, tx.now, reason); err != nil {
				return fmt.Errorf("retire %s: %w", o.Object, err)
			}
		}
		return nil
	})
}

const collectedSQL = `delete from segments where retired_at is not null and object in (select value from json_each(?))`

// Collected implements metastore.Store.
func (s *Store) Collected(ctx context.Context, term metastore.Term, objects []string) error {
	list, err := json.Marshal(objects)
	if err != nil {
		return err
	}
	return s.write(ctx, "forget collected objects", func(tx *writeTx) error {
		if err := tx.checkLive(term); err != nil {
			return err
		}
		if _, err := tx.exec(collectedSQL, string(list)); err != nil {
			return fmt.Errorf("forget %d collected objects: %w", len(objects), err)
		}
		return nil
	})
}

const segmentColumns = `select object, size, created_at, coalesce(retired_at, 0), reason from segments `

const retiredSQL = segmentColumns + `where retired_at <= ? order by retired_at limit ?`

const segmentsSQL = segmentColumns + `where object > ? order by object limit ?`

// Retired implements metastore.Store.
func (s *Store) Retired(ctx context.Context, age time.Duration, limit int) ([]metastore.SegmentRow, error) {
	return s.segments(ctx, retiredSQL, s.clock().Add(-age).UnixMicro(), max(limit, 0))
}

// Segments implements metastore.Store.
func (s *Store) Segments(ctx context.Context, after string, limit int) ([]metastore.SegmentRow, error) {
	return s.segments(ctx, segmentsSQL, after, max(limit, 0))
}

func (s *Store) segments(ctx context.Context, statement string, args ...any) ([]metastore.SegmentRow, error) {
	rows, err := s.statements[statement].QueryContext(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	defer rows.Close()
	var found []metastore.SegmentRow
	for rows.Next() {
		var o metastore.SegmentRow
		var created, retired int64
		if err := rows.Scan(&o.Object, &o.Size, &created, &retired, &o.Reason); err != nil {
			return nil, fmt.Errorf("read segments: %w", err)
		}
		o.Created = time.UnixMicro(created)
		if retired != 0 {
			o.Retired = time.UnixMicro(retired)
		}
		found = append(found, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	return found, nil
}
