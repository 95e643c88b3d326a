package compaction

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/columns"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// Bounds of one archive job; beside its rows it holds its source and one object.
const (
	archiveSourceBytesMax = 32 << 20  // read
	archiveRowBytesMax    = 64 << 20  // decoded, before the last batch
	archiveBatchBytesMax  = 128 << 20 // one batch's records; a batch with more stops its partition
	archiveHoursMax       = 64        // before the last batch
	archiveBatchHoursMax  = 512       // with it: what of it is in further hours has none
	archiveJobsMax        = 8         // of a partition, before the others have their turn
	archiveWaitBytes      = 64 << 20  // of a partition: they wait no longer
	archiveHasteBytes     = 256 << 20 // of a partition: its jobs make no pauses, or fall behind for ever
	archiveLateness       = time.Minute
)

// archiving is a partition as the archive sees it.
type archiving struct {
	id         shard.PartitionID
	topicID    [16]byte
	policy     ArchivePolicy
	expected   int64 // up to where it is archived
	logStart   int64
	lastStable int64
	bytes      int64 // that wait, about
}

// from is the first offset that the archive lacks and the log has.
func (a *archiving) from() int64 { return max(a.expected, a.logStart) }

// Archive archives the partitions of a shard whose records have waited long enough.
func (c *Compactor) Archive(ctx context.Context, i int) error {
	due := c.archivings(i)
	if len(due) > 0 {
		c.space.forArchive()
	}
	for _, a := range due {
		for range archiveJobsMax {
			done, err := c.archive(ctx, i, &a)
			if err != nil {
				return fmt.Errorf("archive partition %v: %w", a.id, err)
			}
			if done {
				if !c.wasPutOff(a.id) {
					delete(c.waiting[i], a.id)
				}
				break
			}
		}
	}
	return nil
}

// archivings returns the partitions that are due.
func (c *Compactor) archivings(i int) []archiving {
	var all, due []archiving
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		for _, id := range s.Partitions() {
			a := archiving{id: id}
			a.expected, _ = s.Archived(id)
			a.logStart, _, a.lastStable, _ = s.Bounds(id)
			if a.from() >= a.lastStable {
				continue
			}
			a.topicID, _ = s.TopicID(id.Topic)
			merged, _ := s.Merged(id)
			a.bytes = s.Bytes(id) - merged.Bytes
			if a.from() < merged.To {
				share := float64(merged.To-a.from()) / float64(merged.To-a.logStart)
				a.bytes += int64(share * float64(merged.Bytes))
			}
			all = append(all, a)
		}
	})
	now, was, waiting := c.deps.Now(), c.waiting[i], map[shard.PartitionID]time.Time{}
	for _, a := range all {
		policy, ok := c.deps.Catalog.Policy(a.id.Topic)
		if !ok || !policy.Archive.On {
			continue
		}
		a.policy = policy.Archive
		since, waits := was[a.id]
		if !waits {
			since = now
		}
		if waiting[a.id] = since; !c.rests(a.id) && (c.wasPutOff(a.id) || a.due(now, since)) {
			due = append(due, a)
		}
	}
	c.waiting[i] = waiting
	return due
}

// due tells whether records that wait since then go now: long enough, many enough, or
// the hour is over that they came in.
func (a *archiving) due(now, since time.Time) bool {
	return now.Sub(since) >= a.policy.Every || a.bytes >= archiveWaitBytes ||
		!now.Before(since.Truncate(time.Hour).Add(time.Hour+archiveLateness))
}

// archive is one job. done says that nothing is left of what was stable when the partition was
// found due, or that this agent has nothing to do with it now.
func (c *Compactor) archive(ctx context.Context, i int, a *archiving) (done bool, err error) {
	w, err := c.archiveWork(ctx, i, a)
	if err != nil || w == nil {
		return true, err
	}
	works, err := c.read(ctx, []*work{w})
	if err != nil || len(works) == 0 {
		return true, err // put off or stopped, and said
	}
	schema, err := columns.Parse(a.policy.Schema)
	if err != nil {
		return true, fmt.Errorf("the schema: %w", err) // written by something that did not check it
	}
	info := archive.Info{
		Cluster: c.deps.Store.Cluster().ID, Topic: a.policy.Topic, TopicID: base64.RawURLEncoding.EncodeToString(a.topicID[:]), Partition: a.id.Index,
		Value: a.policy.Value, Columns: schema,
	}
	made := hours{space: &c.space.archive, typing: archive.NewTyping(schema)}
	made.space.encoder.Pause = func() error { return c.pace.pause(ctx) }
	made.begin = func(dead bool) (*archive.Object, error) {
		info := info
		info.Dead = dead
		return made.space.encoder.Begin(info)
	}
	if a.bytes >= archiveHasteBytes {
		made.space.encoder.Pause = nil
	}
	defer made.release()
	to, err := made.make(ctx, w)
	if errors.Is(err, errDamaged) {
		c.stop(a.id, err)
		return true, nil
	}
	if err != nil {
		return true, err
	}
	rows := metastore.Rows{Archived: []metastore.ArchivedRange{{Shard: i, Topic: a.id.Topic, Partition: a.id.Index, Expected: a.expected, To: to}}}
	count, dead := int64(0), int64(0)
	for _, hour := range slices.Sorted(maps.Keys(made.of)) {
		h := made.of[hour]
		for _, p := range []*portion{&h.typed, &h.dead} {
			if p.object == nil {
				continue
			}
			info.Dead = p == &h.dead
			file, err := c.archiveHour(ctx, a, hour, p.object, info)
			if err != nil {
				return true, err
			}
			if info.Dead {
				dead += file.Rows
			}
			rows.Files = append(rows.Files, *file)
			rows.Segments = append(rows.Segments, metastore.SegmentRow{Object: file.Object, Size: file.Bytes})
			count += file.Rows
		}
	}
	effect := shard.AppendArchived(nil, shard.Archived{Partition: a.id, Expected: a.expected, To: to})
	_, err = c.deps.Writer.AppendRows(ctx, []metastore.Draft{{Journal: metastore.ShardJournal(i), Effects: effect}}, rows)
	if errors.Is(err, metastore.ErrRowsTaken) {
		c.Stats.ArchivesLost.Add(1)
		c.cfg.Log.Info("another agent has archived these offsets", "partition", a.id, "from", a.expected)
		return true, c.deps.Refresh(ctx, metastore.ShardJournal(i)) // the objects are orphans
	}
	if err != nil {
		return true, fmt.Errorf("commit %d objects: %w", len(rows.Files), err)
	}
	// Durable: the objects are the archive's, each record in one of them. Where the effect is void the
	// topic was deleted meanwhile, and its archive stays as that of any deleted topic.
	c.Stats.ArchiveFiles.Add(int64(len(rows.Files)))
	c.Stats.ArchiveRows.Add(count)
	c.Stats.ArchiveDead.Add(dead)
	for i := range rows.Files {
		c.Stats.ArchiveBytes.Add(rows.Files[i].Bytes)
	}
	c.worked(a.id)
	a.expected = to
	return a.from() >= a.lastStable, nil
}

// archiveWork is what a job reads: rows, where the offsets are merged, or extents of the state.
// nil: another agent has been here.
func (c *Compactor) archiveWork(ctx context.Context, i int, a *archiving) (*work, error) {
	w := &work{id: a.id, topic: a.topicID, expected: a.expected, from: a.from(), to: a.lastStable}
	same, inRows := false, false
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		archived, ok := s.Archived(a.id)
		if same = ok && archived == a.expected; !same {
			return
		}
		merged, _ := s.Merged(a.id)
		if inRows = w.from < merged.To; inRows {
			return
		}
		left := int64(archiveSourceBytesMax)
		for _, e := range s.Plan(a.id, w.from, int(left), nil) {
			if e.BaseOffset >= w.to || left <= 0 {
				break
			}
			w.sources = append(w.sources, source{extent: e, end: e.End()})
			left -= e.Bytes()
		}
		if n := len(w.sources); n > 0 {
			w.to = min(w.to, w.sources[n-1].end)
		}
		for _, x := range s.Aborted(a.id, w.from, w.to, nil) {
			w.aborted = append(w.aborted, segment.Aborted{Producer: x.ProducerID, First: x.FirstOffset, Last: x.LastOffset})
		}
	})
	if !same {
		return nil, nil
	}
	if inRows {
		return c.archiveRows(ctx, a, w)
	}
	return w, nil // without sources: a recovery jumped over the offsets
}

// archiveRows takes the first row that holds the work's offsets, as many of its blocks as a job reads.
func (c *Compactor) archiveRows(ctx context.Context, a *archiving, w *work) (*work, error) {
	rows, err := c.deps.Store.Extents(ctx, metastore.ExtentQuery{Topic: a.id.Topic, Partition: a.id.Index, Offset: w.from, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("read the extents: %w", err)
	}
	if len(rows) == 0 || rows[0].Base > w.from {
		c.stop(a.id, fmt.Errorf("%w: no extent holds offset %d", errDamaged, w.from))
		return nil, nil
	}
	row := &rows[0]
	id, ok := segment.ParseKey(row.Object)
	x, err := segment.ParseIndex(row.Index, row.Base, row.End, row.Length)
	if !ok || err != nil {
		c.stop(a.id, fmt.Errorf("%w: the row of offset %d in %s: %w", errDamaged, row.Base, row.Object, err))
		return nil, nil
	}
	w.to = min(w.to, row.End)
	w.aborted = x.Aborted
	s := source{end: row.End, extent: shard.Extent{BaseOffset: row.Base, Segment: id, Position: row.Position}}
	for k, b := range x.Blocks {
		end := row.End
		if k+1 < len(x.Blocks) {
			end = x.Blocks[k+1].Base
		}
		if end <= w.from {
			continue
		}
		if len(s.blocks) == 0 {
			s.extent.Position, s.extent.BaseOffset = row.Position+b.Position, b.Base
		} else if s.extent.Length+b.Length > archiveSourceBytesMax {
			w.to, s.end = min(w.to, b.Base), b.Base
			break
		}
		b.Position = s.extent.Length
		s.extent.Length += b.Length
		s.blocks = append(s.blocks, b)
	}
	if len(s.blocks) > 0 {
		w.sources = append(w.sources, s)
	}
	return w, nil
}

// archiveHour ends the object of an hour, puts it, reads it back and compares.
func (c *Compactor) archiveHour(ctx context.Context, a *archiving, hour archive.Hour, o *archive.Object, info archive.Info) (*metastore.ArchiveFile, error) {
	body, err := o.Finish()
	if err != nil {
		return nil, fmt.Errorf("encode offsets %d to %d: %w", o.First, o.Last, err)
	}
	folder := archive.Folder(info.Topic)
	if info.Dead {
		folder = archive.DeadFolder(info.Topic)
	}
	key := archive.Key(folder, hour, a.id.Index, o.First, o.Last, archive.ID{Term: uint64(c.deps.Writer.Term()), Number: c.number.Add(1)})
	if err := c.pace.take(ctx, int64(len(body))); err != nil {
		return nil, err
	}
	if err := c.deps.Bucket.Put(ctx, key, body); err != nil {
		return nil, fmt.Errorf("put %s: %w", key, err) // an orphan, if it came to be
	}
	// Durable, unknown to the archive. Collected once the term is dead.
	if err := c.compare(ctx, key, body); err != nil {
		return nil, err
	}
	f := &metastore.ArchiveFile{
		Topic: info.Topic, TopicID: info.TopicID, Number: a.id.Topic, Partition: a.id.Index, First: o.First, Last: o.Last,
		Object: key, Rows: o.Rows, Bytes: int64(len(body)), MinTimestamp: o.MinTimestamp, MaxTimestamp: o.MaxTimestamp, Value: info.Kind(),
	}
	f.Date, f.Hour = hour.Date()
	return f, nil
}

// ExpireArchive removes from the archive what the topics' wadi.archive.retention.ms no longer keeps, of those
// topics whose first partition is the shard's. Their objects are retired at once and
// deleted after the grace.
func (c *Compactor) ExpireArchive(ctx context.Context, i int) error {
	var topics []shard.PartitionID
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		for _, id := range s.Partitions() {
			if id.Index == 0 {
				topics = append(topics, id)
			}
		}
	})
	for _, id := range topics {
		policy, ok := c.deps.Catalog.Policy(id.Topic)
		if !ok || policy.Archive.Topic == "" || policy.Archive.Retention < 0 {
			continue
		}
		before := c.deps.Now().Add(-policy.Archive.Retention).UnixMilli()
		for more := true; more; {
			files, err := c.deps.Store.ArchiveFiles(ctx, metastore.ArchiveQuery{Expired: true, Number: id.Topic, Before: before, Limit: c.cfg.RemoveRowsMax})
			if err != nil {
				return fmt.Errorf("look for expired files of the archive: %w", err)
			}
			if more = len(files) == c.cfg.RemoveRowsMax; len(files) == 0 {
				break
			}
			var objects []string
			for k := range files {
				objects = append(objects, files[k].Object)
			}
			if err := c.deps.Store.RemoveArchiveFiles(ctx, c.deps.Writer.Term(), metastore.ReasonExpired, objects); err != nil {
				return fmt.Errorf("remove %d expired files of the archive: %w", len(objects), err)
			}
			c.Stats.ArchiveExpired.Add(int64(len(objects)))
		}
	}
	return nil
}
