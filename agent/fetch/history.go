package fetch

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// Rows is what the read path needs of the metastore's tables; a metastore.Store.
type Rows interface {
	Extents(ctx context.Context, q metastore.ExtentQuery) ([]metastore.ExtentRow, error)
}

const (
	historyRowsMax   = 8       // extents that one statement reads
	historyRowsSkip  = 64      // of which nothing was found yet
	historyBlocksMax = 1 << 18 // blocks remembered of all partitions
	historyPartMax   = 4       // chunks remembered of one partition
)

// history remembers where merged offsets lie: what statements told of the table
// extents. What it knows of a partition holds until the partition's next swap, so a
// reader's plan is as old as its replica at most, and the collector's grace covers it.
type history struct {
	rows Rows
	mu   struct {
		sync.Mutex
		partitions map[shard.PartitionID][]*chunk
		order      []*chunk // the first remembered first
		blocks     int      // of all, chunks counted as one more
		statements uint64
	}
}

// chunk is what one statement told of a partition: where the offsets from from to to−1 lie.
type chunk struct {
	partition shard.PartitionID
	version   metastore.Version // of the swap that the reader's replica had seen last
	from, to  int64
	first     int64 // from where on rows hold them
	blocks    []shard.Extent
	aborted   []shard.AbortedTransaction
	gone      bool
}

func newHistory(rows Rows) *history {
	h := &history{rows: rows}
	h.mu.partitions = map[shard.PartitionID][]*chunk{}
	return h
}

// find returns what is remembered of an offset, nil if nothing.
func (h *history) find(id shard.PartitionID, offset int64, version metastore.Version) *chunk {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.mu.partitions[id] {
		if c.holds(offset, version) {
			return c
		}
	}
	return nil
}

func (c *chunk) holds(offset int64, version metastore.Version) bool {
	return c != nil && c.version >= version && c.from <= offset && offset < c.to
}

// read asks the table, once, and remembers what it told. It is told the partition's
// version before the statement, so what it tells is no older.
func (h *history) read(ctx context.Context, id shard.PartitionID, offset int64, merged shard.Merged) (*chunk, error) {
	c := &chunk{partition: id, version: merged.Version, from: offset, to: offset, first: math.MaxInt64}
	seen := map[shard.AbortedTransaction]bool{}
	q := metastore.ExtentQuery{Topic: id.Topic, Partition: id.Index, Offset: offset, Limit: historyRowsMax}
	// Rows of which key compaction left nothing are passed by: what is remembered has something to
	// read, or ends where all that is merged does.
	for len(c.blocks) == 0 && c.to < merged.To {
		rows, err := h.rows.Extents(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && c.first == math.MaxInt64 {
			c.first = rows[0].Base
			c.from = min(offset, c.first)
		}
		for i := range rows {
			blocks, aborted, err := extentBlocks(&rows[i])
			if err != nil {
				return nil, err
			}
			c.blocks = append(c.blocks, blocks...)
			for _, a := range aborted {
				if !seen[a] {
					seen[a] = true
					c.aborted = append(c.aborted, a)
				}
			}
		}
		if c.to = merged.To; len(rows) == q.Limit {
			c.to = min(merged.To, rows[len(rows)-1].End)
		}
		q.Offset, q.Limit = c.to, historyRowsSkip
	}
	h.remember(c)
	return c, nil
}

// extentBlocks returns a row's blocks as extents, whose batches have their offsets, and its
// aborted transactions.
func extentBlocks(row *metastore.ExtentRow) ([]shard.Extent, []shard.AbortedTransaction, error) {
	id, ok := segment.ParseKey(row.Object)
	if !ok || !id.Merged {
		return nil, nil, fmt.Errorf("%w: the extent of partition %d of topic %d from offset %d on is in %q", ErrCorrupt, row.Partition, row.Topic, row.Base, row.Object)
	}
	x, err := segment.ParseIndex(row.Index, row.Base, row.End, row.Length)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the extent of partition %d of topic %d from offset %d on: %w", ErrCorrupt, row.Partition, row.Topic, row.Base, err)
	}
	blocks := make([]shard.Extent, len(x.Blocks))
	for i, b := range x.Blocks {
		end := row.End
		if i+1 < len(x.Blocks) {
			end = x.Blocks[i+1].Base
		}
		blocks[i] = shard.Extent{
			BaseOffset: b.Base, Records: int32(min(end-b.Base, math.MaxInt32)), MaxTimestamp: b.MaxTimestamp,
			Segment: id, Position: row.Position + b.Position, Length: b.Length, CRC: b.CRC,
		}
	}
	aborted := make([]shard.AbortedTransaction, len(x.Aborted))
	for i, a := range x.Aborted {
		aborted[i] = shard.AbortedTransaction{ProducerID: a.Producer, FirstOffset: a.First, LastOffset: a.Last}
	}
	return blocks, aborted, nil
}

func (h *history) remember(c *chunk) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.statements++
	chunks := h.mu.partitions[c.partition]
	for _, old := range chunks {
		if old.version < c.version || old.from == c.from {
			h.dropLocked(old)
		}
	}
	if chunks = h.mu.partitions[c.partition]; len(chunks) >= historyPartMax {
		h.dropLocked(chunks[0])
	}
	h.mu.partitions[c.partition] = append(h.mu.partitions[c.partition], c)
	h.mu.order = append(h.mu.order, c)
	h.mu.blocks += 1 + len(c.blocks)
	for h.mu.blocks > historyBlocksMax && len(h.mu.order) > 1 {
		h.dropLocked(h.mu.order[0])
		h.trimLocked()
	}
	h.trimLocked()
}

// dropLocked forgets a chunk; it leaves order by trimLocked, at its turn.
func (h *history) dropLocked(c *chunk) {
	if c.gone {
		return
	}
	c.gone = true
	h.mu.blocks -= 1 + len(c.blocks)
	var kept []*chunk
	for _, o := range h.mu.partitions[c.partition] {
		if o != c {
			kept = append(kept, o)
		}
	}
	if h.mu.partitions[c.partition] = kept; kept == nil {
		delete(h.mu.partitions, c.partition)
	}
}

// trimLocked takes what is gone out of order: always from its begin, and from all of it
// once more is gone than is left.
func (h *history) trimLocked() {
	for len(h.mu.order) > 0 && h.mu.order[0].gone {
		h.mu.order = h.mu.order[1:]
	}
	left := 0
	for _, chunks := range h.mu.partitions {
		left += len(chunks)
		if left*2 >= len(h.mu.order) {
			return
		}
	}
	kept := make([]*chunk, 0, left)
	for _, c := range h.mu.order {
		if !c.gone {
			kept = append(kept, c)
		}
	}
	h.mu.order = kept
}

// forget drops what is remembered of a partition: a segment that it names is gone.
func (h *history) forget(id shard.PartitionID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.mu.partitions[id] {
		h.dropLocked(c)
	}
}

// Statements counts the statements, for metrics.
func (h *history) Statements() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.statements
}

// plan appends to dst the blocks from the one that holds offset on, until bytesMax bytes
// are reached or the chunk ends; never only one that begins below offset, since key compaction may
// have left nothing of it from there on. It returns the offset after the last one planned: c.to
// where the chunk has no more.
func (c *chunk) plan(offset int64, bytesMax int64, dst []shard.Extent) (planned []shard.Extent, next, bytes int64) {
	i := sort.Search(len(c.blocks), func(i int) bool { return c.blocks[i].BaseOffset > offset })
	if i > 0 && c.blocks[i-1].End() > offset {
		i--
	}
	for ; i < len(c.blocks); i++ {
		dst = append(dst, c.blocks[i])
		if bytes += c.blocks[i].Length; bytes >= bytesMax && c.blocks[i].BaseOffset >= offset {
			return dst, c.blocks[i].End(), bytes
		}
	}
	return dst, c.to, bytes
}

// planMerged plans a partition whose offset is merged: from what is remembered, and
// on from the state where that reaches its begin.
func (rd *reading) planMerged(p *part, s *shard.State, offset int64, bytesMax int) (err error, doubt bool) {
	p.used = p.used[:0]
	left, asked := int64(bytesMax), offset
	// Whether there is a batch to be read: every block has one, but below the offset asked for maybe.
	found := func() bool {
		n := len(rd.extents)
		return n > p.first && rd.extents[n-1].BaseOffset >= asked
	}
	for offset < p.merged.To && (left > 0 || !found()) {
		c := p.chunk // what was read for this fetch holds even if it was dropped meanwhile
		if !c.holds(offset, p.merged.Version) {
			c = rd.f.history.find(p.place.ID, offset, p.merged.Version)
		}
		switch {
		case c == nil && found():
			return nil, false // what is planned already is an answer; the next fetch asks for the rest
		case c == nil && p.tableErr != nil:
			return fmt.Errorf("%w: where the merged offset %d lies can't be read: %w", ErrStorage, offset, p.tableErr), false
		case c == nil:
			p.missing, p.missingFrom = true, offset
			return nil, false
		case offset == asked && offset < c.first:
			// Rows hold all that is merged from the log start on: retention has moved it, which
			// this replica doesn't know yet, or the table and the journal don't agree.
			return fmt.Errorf("%w: no extent holds the merged offset %d", ErrStorage, offset), true
		}
		p.used = append(p.used, c)
		var bytes int64
		rd.extents, offset, bytes = c.plan(offset, left, rd.extents)
		left -= bytes
	}
	if (left > 0 || !found()) && offset < p.upper {
		rd.extents = s.Plan(p.place.ID, max(offset, p.merged.To), int(max(left, 1)), rd.extents)
	}
	return nil, false
}

// planAborted lists the aborted transactions that have records in [from, to): those that
// the state knows, and those of merged offsets, by their markers' offsets.
func (rd *reading) planAborted(p *part, s *shard.State, from, to int64) {
	rd.aborted = s.Aborted(p.place.ID, from, to, rd.aborted)
	if from < p.merged.To {
		for _, c := range p.used {
			for _, a := range c.aborted {
				if a.FirstOffset < to && a.LastOffset >= from && !slices.Contains(rd.aborted[p.abortedFrom:], a) {
					rd.aborted = append(rd.aborted, a)
				}
			}
		}
		slices.SortFunc(rd.aborted[p.abortedFrom:], func(a, b shard.AbortedTransaction) int { return cmp.Compare(a.LastOffset, b.LastOffset) })
	}
	p.abortedTo = len(rd.aborted)
}

// askTable reads what the parts lack whose offsets are merged, several at a time.
func (rd *reading) askTable(ctx context.Context) (asked bool) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, rd.f.cfg.LoadsMax)
	for i := range rd.parts {
		p := &rd.parts[i]
		if !p.missing || p.tableErr != nil {
			continue
		}
		asked = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, rd.f.cfg.RefreshWaitMax)
			defer cancel()
			p.chunk, p.tableErr = rd.f.history.read(ctx, p.place.ID, p.missingFrom, p.merged)
		})
	}
	wg.Wait()
	return asked
}
