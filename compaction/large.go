package compaction

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/segment"
)

// Upload is an object that is put in parts; nobody sees it before Commit.
type Upload interface {
	Part(ctx context.Context, body []byte) error
	Commit(ctx context.Context) error
	Abort(ctx context.Context) error
}

// Parts is a Bucket that takes objects in parts. What it holds after Commit is read back and compared.
type Parts interface {
	Begin(ctx context.Context, key string) (Upload, error)
}

// rewriteMax bounds the rows that are merged again into one: those of topics compacted by key must fit
// into a job of key compaction.
func (c *Compactor) rewriteMax(topic uint64) int64 {
	policy, ok := c.deps.Catalog.Policy(topic)
	if _, inParts := c.deps.Bucket.(Parts); !inParts || !ok || policy.Compact {
		return c.cfg.JobBytesMax
	}
	return max(c.cfg.JobBytesMax, c.cfg.RewriteBytesMax)
}

// rewriteLarge exchanges rows for one that holds all of their batches, read and written in pieces.
func (c *Compactor) rewriteLarge(ctx context.Context, i int, w *work) error {
	if len(w.aborted) > abortedMax {
		return nil // one index can't hold them
	}
	id := segment.ID{Term: uint64(c.deps.Writer.Term()), Number: c.number.Add(1), Merged: true}
	upload, err := c.deps.Bucket.(Parts).Begin(ctx, id.Key())
	if err != nil {
		return fmt.Errorf("put %s: %w", id.Key(), err)
	}
	out, err := c.writeLarge(ctx, upload, i, id, w)
	if err != nil || out == nil {
		// Not with ctx, which may be why.
		return errors.Join(err, upload.Abort(context.WithoutCancel(ctx)))
	}
	stood, err := c.swapRows(ctx, i, []*work{w}, out)
	if stood != nil {
		c.Stats.Remerges.Add(1)
	}
	return err
}

// writeLarge writes, commits and compares. It returns nil where the sources can't be read now, or are damaged.
func (c *Compactor) writeLarge(ctx context.Context, upload Upload, shard int, id segment.ID, w *work) (*output, error) {
	var b segment.MergedBuilder
	b.Begin(nil, segment.MergedInfo{
		Cluster: c.deps.Store.Cluster().ID, ID: id, Written: c.deps.Now().UnixMilli(), Shard: shard,
	})
	parts := partWriter{compactor: c, upload: upload}
	b.Open(w.topic, w.id.Topic, w.id.Index, w.from)
	b.Roll(c.rollMs(w.id.Topic))
	if w.compactedTo >= w.to {
		b.Compacted()
	}
	for _, piece := range w.pieces(c.cfg.PieceBytes) {
		read, err := c.read(ctx, []*work{piece})
		if err != nil || len(read) == 0 {
			return nil, err
		}
		for k := range piece.batches {
			b.Add(piece.batches[k].base, piece.batches[k].body)
		}
		if err := parts.write(ctx, b.Take()); err != nil {
			return nil, err
		}
	}
	b.Close(w.to, w.aborted)
	rest, extents := b.Finish()
	if err := parts.write(ctx, rest); err != nil {
		return nil, err
	}
	if err := parts.end(ctx); err != nil {
		return nil, err
	}
	// Durable, unknown to readers. Collected once the term is dead.
	if err := parts.compare(ctx, id.Key()); err != nil {
		return nil, err
	}
	return newOutput(id, parts.size, shard, extents)
}

// pieces divides a work on rows into works on some of their blocks, each to be read at once.
func (w *work) pieces(bytesMax int64) []*work {
	var out []*work
	for _, s := range w.sources {
		var piece *source
		for k, b := range s.blocks {
			if piece == nil || piece.extent.Length+b.Length > bytesMax {
				p := &work{id: w.id, from: w.from, to: w.to, sources: make([]source, 1)}
				out = append(out, p)
				piece = &p.sources[0]
				piece.extent = s.extent
				piece.extent.BaseOffset, piece.extent.Position, piece.extent.Length = b.Base, s.extent.Position+b.Position, 0
			}
			b.Position = piece.extent.Length
			piece.extent.Length += b.Length
			piece.blocks = append(piece.blocks, b)
			if piece.end = s.end; k+1 < len(s.blocks) {
				piece.end = s.blocks[k+1].Base
			}
		}
	}
	return out
}

// partWriter divides what it is given into parts, all as large but the last, which some services
// want, and remembers their checksums.
type partWriter struct {
	compactor *Compactor
	upload    Upload
	pending   []byte
	sums      []uint32
	size      int64
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (p *partWriter) write(ctx context.Context, body []byte) error {
	p.pending = append(p.pending, body...)
	partBytes := int(p.compactor.cfg.PieceBytes)
	for len(p.pending) >= partBytes {
		if err := p.part(ctx, p.pending[:partBytes]); err != nil {
			return err
		}
		p.pending = append(p.pending[:0], p.pending[partBytes:]...)
	}
	return nil
}

func (p *partWriter) part(ctx context.Context, body []byte) error {
	if err := p.compactor.pace.take(ctx, int64(len(body))); err != nil {
		return err
	}
	if err := p.upload.Part(ctx, body); err != nil {
		return err
	}
	p.sums = append(p.sums, crc32.Checksum(body, castagnoli()))
	p.size += int64(len(body))
	p.compactor.Stats.BytesWritten.Add(int64(len(body)))
	return nil
}

func (p *partWriter) end(ctx context.Context) error {
	if len(p.pending) > 0 {
		if err := p.part(ctx, p.pending); err != nil {
			return err
		}
	}
	p.pending = nil
	return p.upload.Commit(ctx)
}

// compare reads the object back: its parts have the checksums, by which readers trust its blocks as well.
func (p *partWriter) compare(ctx context.Context, key string) error {
	piece := make([]byte, min(p.compactor.cfg.PieceBytes, p.size+1))
	for k, at := 0, int64(0); at < p.size; k++ {
		want := piece[:min(int64(len(piece)), p.size-at)]
		n, err := p.compactor.deps.Bucket.GetInto(ctx, key, at, want)
		if err != nil {
			return fmt.Errorf("read %s back: %w", key, err)
		}
		if n < len(want) || crc32.Checksum(want, castagnoli()) != p.sums[k] {
			return fmt.Errorf("%w: %s at %d", errOutput, key, at)
		}
		at += int64(n)
	}
	if n, err := p.compactor.deps.Bucket.GetInto(ctx, key, p.size, piece[:1]); err != nil || n > 0 {
		return errors.Join(fmt.Errorf("%w: %s goes on after its end", errOutput, key), err)
	}
	return nil
}

// newOutput is a partition segment with these extents.
func newOutput(id segment.ID, size int64, shard int, extents []segment.MergedExtent) (*output, error) {
	out := &output{id: id, size: size}
	for i := range extents {
		e := &extents[i]
		if len(e.Coded) > metastore.ExtentIndexBytesMax {
			return nil, fmt.Errorf("an index of %d bytes for partition %d of topic %d", len(e.Coded), e.Partition, e.Number)
		}
		out.extents = append(out.extents, metastore.ExtentRow{
			Shard: shard, Topic: e.Number, Partition: e.Partition, Base: e.Base, End: e.End, Object: id.Key(),
			Position: e.Position, Length: e.Length, Records: e.Records, MaxTimestamp: e.MaxTimestamp, Index: e.Coded,
		})
	}
	return out, nil
}
