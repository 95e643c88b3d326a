package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

// takenCode is the SQLSTATE that append_rows raises. Persisted in the migration.
const takenCode = "WD001"

const appendRowsSQL = `select outcome, versions, lost_journal, lost_head, wadi.in_time($22) and wadi.settled($23)
	from wadi.append_rows($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`

// AppendRows implements metastore.Store.
func (s *Store) AppendRows(ctx context.Context, term metastore.Term, parts []metastore.AppendPart, rows metastore.Rows) ([]metastore.Version, error) {
	if err := s.cluster.CheckRows(parts, &rows); err != nil {
		return nil, err
	}
	statement, args := appendRowsSQL, appendArgs(term, parts)
	if rows.OfArchive() {
		statement, args = appendArchiveSQL, append(args, archiveArgs(&rows)...)
	} else {
		args = append(args, rowArgs(&rows)...)
	}
	var by *time.Time
	if !rows.By.IsZero() {
		by = &rows.By
	}
	args = append(args, by)
	versions, err := s.append(ctx, fmt.Sprintf("append to %d journals with rows", len(parts)), statement, args)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == takenCode {
		return nil, metastore.ErrRowsTaken
	}
	return versions, err
}

// columns are the arrays that append_rows takes for one of its kinds of rows.
type columns struct {
	shards, partitions                                               []int32
	topics, bases, ends, positions, lengths, records, times, segSize []int64
	objects                                                          []string
	indexes                                                          [][]byte
}

func (c *columns) key(k metastore.ExtentKey) {
	c.shards = append(c.shards, int32(k.Shard))
	c.topics = append(c.topics, int64(k.Topic))
	c.partitions = append(c.partitions, k.Partition)
	c.bases = append(c.bases, k.Base)
	c.objects = append(c.objects, k.Object)
}

func newColumns(n int) *columns {
	// Empty, not nil: nil would be null.
	return &columns{
		shards: make([]int32, 0, n), partitions: make([]int32, 0, n), topics: make([]int64, 0, n), bases: make([]int64, 0, n),
		ends: make([]int64, 0, n), positions: make([]int64, 0, n), lengths: make([]int64, 0, n), records: make([]int64, 0, n),
		times: make([]int64, 0, n), segSize: make([]int64, 0, n), objects: make([]string, 0, n), indexes: make([][]byte, 0, n),
	}
}

// rowArgs are the arguments of append_rows after those of append.
func rowArgs(rows *metastore.Rows) []any {
	made, gone, come := newColumns(len(rows.Segments)), newColumns(len(rows.Removed)), newColumns(len(rows.Extents))
	for _, o := range rows.Segments {
		made.objects, made.segSize = append(made.objects, o.Object), append(made.segSize, o.Size)
	}
	for _, k := range rows.Removed {
		gone.key(k)
	}
	for i := range rows.Extents {
		e := &rows.Extents[i]
		come.key(e.Key())
		come.ends = append(come.ends, e.End)
		come.positions = append(come.positions, e.Position)
		come.lengths = append(come.lengths, e.Length)
		come.records = append(come.records, e.Records)
		come.times = append(come.times, e.MaxTimestamp)
		index := e.Index
		if index == nil {
			index = []byte{}
		}
		come.indexes = append(come.indexes, index)
	}
	return []any{
		made.objects, made.segSize, gone.topics, gone.partitions, gone.bases, gone.objects,
		come.shards, come.topics, come.partitions, come.bases, come.ends, come.objects,
		come.positions, come.lengths, come.records, come.times, come.indexes,
	}
}

const extentColumns = `select shard, topic, partition, base, "end", object, position, length, records, max_timestamp, "index" from wadi.extents `

const extentsByOffsetSQL = extentColumns + `where topic = $1 and partition = $2 and base >= coalesce(
		(select b.base from wadi.extents b where b.topic = $1 and b.partition = $2 and b.base <= $3 order by b.base desc limit 1), 0)
	and "end" > $3 order by base limit $4`

const extentsBySinceSQL = extentColumns + `where topic = $1 and partition = $2 and base >=
		(select h.base from wadi.extents h where h.topic = $1 and h.partition = $2 and h.highest >= $3 order by h.highest, h.base limit 1)
	order by base limit $4`

const extentsByLatestSQL = extentColumns + `where topic = $1 and partition = $2 order by max_timestamp desc, base limit $3`

const extentsSmallSQL = extentColumns + `where shard = $1 and length < 134217728 and (topic, partition, base) > ($2, $3, $4)
	order by topic, partition, base limit $5`

const extentsEverySQL = extentColumns + `where (topic, partition, base) > ($1, $2, $3) order by topic, partition, base limit $4`

// Extents implements metastore.Store.
func (s *Store) Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error) {
	var rows pgx.Rows
	var err error
	topic, limit := int64(q.Topic), int64(max(q.Limit, 0))
	switch q.Order {
	case metastore.BySince:
		rows, err = s.pool.Query(ctx, s.sql[extentsBySinceSQL], topic, q.Partition, q.Timestamp, limit)
	case metastore.ByLatest:
		rows, err = s.pool.Query(ctx, s.sql[extentsByLatestSQL], topic, q.Partition, limit)
	case metastore.Small:
		rows, err = s.pool.Query(ctx, s.sql[extentsSmallSQL], int32(q.Shard), int64(q.After.Topic), q.After.Partition, q.After.Base, limit)
	case metastore.Every:
		rows, err = s.pool.Query(ctx, s.sql[extentsEverySQL], int64(q.After.Topic), q.After.Partition, q.After.Base, limit)
	default:
		rows, err = s.pool.Query(ctx, s.sql[extentsByOffsetSQL], topic, q.Partition, q.Offset, limit)
	}
	if err != nil {
		return nil, failed(ctx, s.pool, "read extents", err)
	}
	defer rows.Close()
	var found []metastore.ExtentRow
	for rows.Next() {
		var e metastore.ExtentRow
		var topic int64
		var shard int32
		if err := rows.Scan(&shard, &topic, &e.Partition, &e.Base, &e.End, &e.Object, &e.Position, &e.Length, &e.Records, &e.MaxTimestamp, &e.Index); err != nil {
			return nil, failed(ctx, s.pool, "read extents", err)
		}
		e.Topic, e.Shard = uint64(topic), int(shard)
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, s.pool, "read extents", err)
	}
	return found, nil
}

// Each topic is found by its own descent of the key: what lies between isn't read.
const extentTopicsSQL = `with recursive t(topic, n) as (
		select (select e.topic from wadi.extents e where e.topic > $1 order by e.topic limit 1), 1::bigint
		union all
		select (select e.topic from wadi.extents e where e.topic > t.topic order by e.topic limit 1), t.n + 1 from t
			where t.topic is not null and t.n < $2
	) select topic from t where topic is not null order by topic`

// ExtentTopics implements metastore.Store.
func (s *Store) ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error) {
	if limit < 1 {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, s.sql[extentTopicsSQL], int64(after), int64(limit))
	if err != nil {
		return nil, failed(ctx, s.pool, "list the extents' topics", err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, failed(ctx, s.pool, "list the extents' topics", err)
	}
	var topics []uint64
	for _, n := range numbers {
		topics = append(topics, uint64(n))
	}
	return topics, nil
}

const retireSQL = `select outcome from wadi.retire($1, $2, $3, $4)`

// Retire implements metastore.Store.
func (s *Store) Retire(ctx context.Context, term metastore.Term, reason string, objects []metastore.SegmentRow) error {
	if err := metastore.CheckRetire(reason, objects); err != nil {
		return err
	}
	c := newColumns(len(objects))
	for _, o := range objects {
		c.objects, c.segSize = append(c.objects, o.Object), append(c.segSize, o.Size)
	}
	return s.ofTerm(ctx, "retire objects", retireSQL, int64(term), reason, c.objects, c.segSize)
}

const collectedSQL = `select outcome from wadi.collected($1, $2)`

// Collected implements metastore.Store.
func (s *Store) Collected(ctx context.Context, term metastore.Term, objects []string) error {
	return s.ofTerm(ctx, "forget collected objects", collectedSQL, int64(term), append([]string{}, objects...))
}

// ofTerm runs a statement that a dead term is refused.
func (s *Store) ofTerm(ctx context.Context, what, statement string, args ...any) error {
	var outcome string
	if err := s.pool.QueryRow(ctx, s.sql[statement], args...).Scan(&outcome); err != nil {
		return failed(ctx, s.pool, what, err)
	}
	if outcome == "ended" {
		return metastore.ErrTermEnded
	}
	return nil
}

const segmentColumns = `object, size, created_at, retired_at, reason`

// What is deleted is retired on the synchronous standby, too: else that would, once it has taken over, name objects that are gone.
const retiredSQL = `select ` + segmentColumns + `, (select wadi.prove()) from wadi.segments
	where retired_at <= clock_timestamp() - $1::bigint * interval '1 microsecond' order by retired_at limit $2`

const segmentsSQL = `select ` + segmentColumns + `, null::boolean from wadi.segments where object > $1 order by object limit $2`

// Retired implements metastore.Store.
func (s *Store) Retired(ctx context.Context, age time.Duration, limit int) ([]metastore.SegmentRow, error) {
	return s.segments(ctx, retiredSQL, age.Microseconds(), int64(max(limit, 0)))
}

// Segments implements metastore.Store.
func (s *Store) Segments(ctx context.Context, after string, limit int) ([]metastore.SegmentRow, error) {
	return s.segments(ctx, segmentsSQL, after, int64(max(limit, 0)))
}

func (s *Store) segments(ctx context.Context, statement string, args ...any) ([]metastore.SegmentRow, error) {
	var found []metastore.SegmentRow
	scan := func(rows pgx.Rows) error {
		var o metastore.SegmentRow
		var retired pgtype.Timestamptz
		var proved *bool
		if err := rows.Scan(&o.Object, &o.Size, &o.Created, &retired, &o.Reason, &proved); err != nil {
			return err
		}
		if retired.Valid {
			o.Retired = retired.Time
		}
		found = append(found, o)
		return nil
	}
	if err := s.pool.each(ctx, s.sql[statement], scan, args...); err != nil {
		return nil, failed(ctx, s.pool, "read segments", err)
	}
	return found, nil
}
