package compaction

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// abortedMax bounds the aborted transactions of one extent's index: with its blocks' it
// must fit metastore.ExtentIndexBytesMax. An extent with more is divided.
const abortedMax = 1500

// extentBytesMax bounds an extent: its blocks' index entries must fit as well.
const extentBytesMax = 256 << 20

// comparePiece is how much is read back at a time, in bytes.
const comparePiece = 8 << 20

// output is a partition segment that is durable and was read back.
type output struct {
	id      segment.ID
	size    int64
	extents []metastore.ExtentRow
}

// write writes the works' batches into one partition segment, puts it, reads it back
// and compares.
func (c *Compactor) write(ctx context.Context, shard int, works []*work) (*output, error) {
	id := segment.ID{Term: uint64(c.deps.Writer.Term()), Number: c.number.Add(1), Merged: true}
	size := 0
	for _, w := range works {
		for _, b := range w.batches {
			size += len(b.body)
		}
	}
	var builder segment.MergedBuilder
	builder.Begin(room(&c.space.output, int64(size+size/64+64<<10)), segment.MergedInfo{
		Cluster: c.deps.Store.Cluster().ID, ID: id, Written: c.deps.Now().UnixMilli(), Shard: shard,
	})
	for _, w := range works {
		w.rollMs = c.rollMs(w.id.Topic)
		if err := c.pace.pause(ctx); err != nil {
			return nil, err
		}
		if err := w.buildParts(&builder); err != nil {
			return nil, err
		}
	}
	body, extents := builder.Finish()
	c.space.output = body
	if err := c.pace.take(ctx, int64(len(body))); err != nil {
		return nil, err
	}
	if err := c.deps.Bucket.Put(ctx, id.Key(), body); err != nil {
		return nil, fmt.Errorf("put %s: %w", id.Key(), err) // an orphan, if it came to be
	}
	// Durable, unknown to readers. Collected once the term is dead.
	c.Stats.BytesWritten.Add(int64(len(body)))
	if err := c.compare(ctx, id.Key(), body); err != nil {
		return nil, err
	}
	return newOutput(id, int64(len(body)), shard, extents)
}

// rollMs is after how long the blocks of a topic's partitions end, 0 where its configs aren't known.
func (c *Compactor) rollMs(topic uint64) int64 {
	policy, _ := c.deps.Catalog.Policy(topic)
	return policy.Roll.Milliseconds()
}

// begin is the first offset that the work's rows cover: where its first batch begins, so
// that a log start inside a batch has the whole batch; never below what is merged.
func (w *work) begin() int64 {
	if len(w.batches) > 0 && len(w.removed) == 0 {
		return max(w.expected, w.batches[0].base)
	}
	return w.from
}

// buildParts writes the work's batches: what is compacted by key, then what isn't.
func (w *work) buildParts(b *segment.MergedBuilder) error {
	middle := 0
	for middle < len(w.batches) && w.batches[middle].base < w.compactedTo {
		middle++
	}
	if w.compactedTo > w.begin() {
		err := w.build(b, w.begin(), min(w.compactedTo, w.to), w.batches[:middle], true)
		if err != nil || w.compactedTo >= w.to {
			return err
		}
	}
	return w.build(b, max(w.begin(), w.compactedTo), w.to, w.batches[middle:], false)
}

// build writes batches as one extent, or as two where its index would be too large.
func (w *work) build(b *segment.MergedBuilder, from, to int64, batches []storedBatch, compacted bool) error {
	var aborted []segment.Aborted
	for _, a := range w.aborted {
		if !compacted && a.First < to && a.Last >= from { // none of their records is left by key compaction
			aborted = append(aborted, a)
		}
	}
	bytes := int64(0)
	for i := range batches {
		bytes += int64(len(batches[i].body))
	}
	if len(aborted) > abortedMax || bytes > extentBytesMax {
		if len(batches) < 2 {
			return fmt.Errorf("%w: partition %v has %d aborted transactions at offset %d, more than %d", errIndex, w.id, len(aborted), from, abortedMax)
		}
		half := len(batches) / 2
		middle := batches[half].base
		return errors.Join(w.build(b, from, middle, batches[:half], compacted), w.build(b, middle, to, batches[half:], compacted))
	}
	b.Open(w.topic, w.id.Topic, w.id.Index, from)
	b.Roll(w.rollMs)
	if compacted {
		b.Compacted()
	}
	for i := range batches {
		b.Add(batches[i].base, batches[i].body)
	}
	b.Close(to, aborted)
	return nil
}

// errIndex says that an extent's index can't be coded within its bound.
var errIndex = errors.New("an index is too large")

// errOutput says that the bucket doesn't hold what was put.
var errOutput = errors.New("the output read back is not what was written")

// compare reads an object back: nothing else than body, and nothing after it.
func (c *Compactor) compare(ctx context.Context, key string, body []byte) error {
	piece := room(&c.space.piece, int64(min(comparePiece, len(body)+1)))
	for at := 0; ; {
		n, err := c.deps.Bucket.GetInto(ctx, key, int64(at), piece)
		switch want := body[at:min(at+len(piece), len(body))]; {
		case err != nil:
			return fmt.Errorf("read %s back: %w", key, err)
		case n > len(want):
			return fmt.Errorf("%w: %s goes on after its end", errOutput, key)
		case !bytes.Equal(piece[:n], want):
			return fmt.Errorf("%w: %s at %d", errOutput, key, at)
		case n < len(piece):
			return nil // the object's end, and the body's
		}
		at += n
		if err := c.pace.pause(ctx); err != nil {
			return err
		}
	}
}
