package ingest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/trace"
	"github.com/wadi-io/wadi/wire/segment"
)

// flush is one segment on its way: its batches, and how its upload ended.
type flush struct {
	id    segment.ID
	items []*item
	bytes int64
	fates []segment.Fate
	done  chan struct{}
	err   error // set before done is closed; nil: durable
	left  int   // batches that the committer has yet to answer; its own

	partitions touched // of the batches

	requests []*trace.Span // of the batches, those that are recorded
	span     *trace.Span   // nil if there are none
}

// isDone tells whether its upload has ended.
func (f *flush) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// flushes starts uploads: at size, at the linger, or at once when a slot is free
// and pace and budget allow. It returns when the uploads that it started have ended.
func (in *Ingest) flushes(ctx context.Context) error {
	var uploads sync.WaitGroup
	defer uploads.Wait()
	running := 0 // that have not been read from ended: it always has room, so none waits for a reader that has left
	ended := make(chan time.Duration, in.cfg.UploadsMax)
	p := newPace(in.cfg, in.cfg.Clock())
	var number uint64
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		batches, size, since := in.buffered()
		wait := time.Duration(-1) // until something else happens
		if batches > 0 && running < in.cfg.UploadsMax {
			now := in.cfg.Clock()
			reason := p.due(now, since, size, batches, running)
			if reason != notDue {
				number++
				f := in.begin(number, now, reason)
				p.started(now, f.bytes)
				// The committer takes flushes in this order, and keeps it within each partition, whenever their uploads end.
				select {
				case in.uploaded <- f:
				case <-ctx.Done():
					f.err = ctx.Err()
					close(f.done)
					in.abandon(f)
					return nil
				}
				running++
				uploads.Go(func() { ended <- in.upload(ctx, f) })
				continue
			}
			wait = p.next(now, since, running)
		}
		if wait >= 0 {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-in.filled:
		case d := <-ended:
			running--
			p.uploaded(d)
		case <-timer.C:
		}
	}
}

// abandon gives back the batches of a flush that never reached the committer.
func (in *Ingest) abandon(f *flush) {
	for _, it := range f.items {
		in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrUnknown})
	}
}

// begin takes the next flush from the buffer.
func (in *Ingest) begin(number uint64, now time.Time, reason reason) *flush {
	items, size := in.take()
	f := &flush{id: segment.ID{Term: uint64(in.deps.Writer.Term()), Number: number}, items: items, bytes: size, done: make(chan struct{})}
	in.fates.Lock()
	f.fates, in.fates.list = in.fates.list, nil
	in.fates.Unlock()
	for _, it := range items {
		it.flush = f
		f.partitions.add(it.Partition)
		in.observe(StageWait, now.Sub(it.at))
	}
	in.traceFlush(f, now, reason)
	switch reason {
	case bySize:
		in.Stats.FlushesBySize.Add(1)
	case byLinger:
		in.Stats.FlushesByLinger.Add(1)
	case atOnce:
		in.Stats.FlushesAtOnce.Add(1)
	}
	return f
}

// upload seals the segment and writes it to the bucket.
func (in *Ingest) upload(ctx context.Context, f *flush) time.Duration {
	began := in.cfg.Clock()
	body, crc := in.seal(f, began)
	put := in.tracePut(f, began, len(body))
	f.err = in.deps.Bucket.Put(bucket.Checksummed(ctx, crc), f.id.Key(), body)
	in.writing.Add(-int64(cap(body))) // The cache counts it from here on.
	ended := in.cfg.Clock()
	took := ended.Sub(began)
	f.traceUploaded(put, began, ended)
	if f.err != nil {
		in.Stats.UploadsFailed.Add(1)
		in.deps.Buffers.Put(body)
		in.fates.Lock()
		in.fates.list = append(f.fates, in.fates.list...)
		in.fates.Unlock()
		if !errors.Is(f.err, context.Canceled) {
			in.uploads.Meet(f.err, "segment", f.id.Key())
		}
	} else {
		in.uploads.End()
		// Durable, unknown to readers. If we die here it is collected once the term is dead.
		in.Stats.Segments.Add(1)
		in.Stats.SegmentBytes.Add(int64(len(body)))
		in.deps.Cache.Put(f.id, body, in.deps.Buffers.Put)
		in.observe(StageUpload, took)
	}
	close(f.done)
	select {
	case in.landed <- struct{}{}:
	default:
	}
	return took
}

// seal orders the batches by shard, topic and partition, keeping their order
// within a partition, and copies them into a segment: the one copy of the records.
func (in *Ingest) seal(f *flush, now time.Time) (body []byte, crc32c uint32) {
	slices.SortStableFunc(f.items, func(a, b *item) int {
		if a.Shard != b.Shard {
			return a.Shard - b.Shard
		}
		if c := compareUint(a.Partition.Topic, b.Partition.Topic); c != 0 {
			return c
		}
		return int(a.Partition.Index) - int(b.Partition.Index)
	})
	runs := 0
	for i, it := range f.items {
		if i == 0 || it.Partition != f.items[i-1].Partition {
			runs++
		}
	}
	b := in.builders.Get().(*segment.Builder)
	defer in.builders.Put(b)
	buf := in.deps.Buffers.Get(segment.SizeHint(int(f.bytes), len(f.items), runs, len(f.fates)))
	in.writing.Add(int64(cap(buf))) // It holds what follows: see segment.SizeHint.
	b.Begin(buf[:0], segment.Info{
		Cluster: in.deps.Cluster,
		ID:      f.id,
		Flush:   f.id.Number,
		Written: now.UnixMilli(),
		Fates:   f.fates,
	})
	for _, it := range f.items {
		it.position = b.Add(it.Shard, it.Topic, it.Partition.Index, it.Bytes)
		it.drop()
	}
	body = b.Finish()
	return body, b.Checksum()
}

func (in *Ingest) observe(s Stage, d time.Duration) {
	if in.Stats.Observe != nil {
		in.Stats.Observe(s, d)
	}
}

func compareUint(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
