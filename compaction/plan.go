package compaction

import (
	"cmp"
	"math"
	"slices"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// work is what one job does with one partition: it takes the batches of the sources
// that have offsets in [from, to).
type work struct {
	id       shard.PartitionID
	topic    [16]byte
	expected int64 // up to where it was merged
	from, to int64
	sources  []source
	aborted  []segment.Aborted
	removed  []metastore.ExtentKey // rows that the output takes the place of
	was      int64                 // their bytes
	batches  []storedBatch         // read and checked
	damage   error                 // what the check found
	rollMs   int64                 // after how long its blocks end
	// compactedTo is up to where key compaction has gone over the batches; 0: over none.
	compactedTo int64
}

// source is a range of a segment with a partition's batches, or a marker.
type source struct {
	extent shard.Extent
	blocks []segment.Block // of an extent of a partition segment, by which it is checked
	end    int64
	body   []byte // once read
	// failure says why it could not be read just now.
	failure error
}

// storedBatch is a batch and its base offset.
type storedBatch struct {
	base, end int64
	body      []byte
}

// plan chooses the partitions of a merge and their extents, the ones with most extents
// first: those weigh on replicas and readers.
func (c *Compactor) plan(i int) []*work {
	var works []*work
	metastore.View(c.deps.Replica(i), func(s *shard.State) {
		hot := s.Hot(nil)
		hot = slices.DeleteFunc(hot, func(h shard.Hot) bool {
			return h.First >= h.LastStable || c.rests(h.ID)
		})
		slices.SortStableFunc(hot, func(a, b shard.Hot) int { return cmp.Compare(b.Extents, a.Extents) })
		left := c.cfg.JobBytesMax
		for _, h := range hot[:min(len(hot), c.cfg.PartitionsMax)] {
			if left <= 0 {
				break
			}
			w := &work{id: h.ID, expected: h.Merged.To, from: h.First}
			w.topic, _ = s.TopicID(h.ID.Topic)
			for _, e := range s.Plan(h.ID, h.First, int(left), nil) {
				if e.BaseOffset >= h.LastStable {
					break
				}
				w.sources = append(w.sources, source{extent: e, end: e.End()})
				w.to = min(e.End(), h.LastStable)
				left -= e.Bytes()
			}
			for _, a := range s.Aborted(h.ID, w.from, w.to, nil) {
				w.aborted = append(w.aborted, segment.Aborted{Producer: a.ProducerID, First: a.FirstOffset, Last: a.LastOffset})
			}
			if len(w.sources) > 0 {
				works = append(works, w)
			}
		}
	})
	slices.SortFunc(works, func(a, b *work) int { return a.id.Compare(b.id) })
	return works
}

// tierBytesMin and tierFactor divide extents by size: below 1 KiB, 8 KiB, 64 KiB …
const (
	tierBytesMin = 1 << 10
	tierFactor   = 8
)

func tier(bytes int64) int {
	t := 0
	for limit := int64(tierBytesMin); bytes >= limit && limit < math.MaxInt64/tierFactor; limit *= tierFactor {
		t++
	}
	return t
}

// planAgain chooses among a partition's small extents, which are consecutive, those to
// merge again: the longest run of a tier or lower ones that has fan of the tier. So what is written
// again is fan times as large afterwards, and each byte is written once a tier.
func planAgain(rows []metastore.ExtentRow, fan int) []metastore.ExtentRow {
	tiers := make([]int, len(rows))
	highest := 0
	for i := range rows {
		tiers[i] = tier(rows[i].Length)
		highest = max(highest, tiers[i])
	}
	for t := 0; t <= highest; t++ {
		for i := 0; i < len(rows); {
			k, of := i, 0
			for ; k < len(rows) && tiers[k] <= t && (k == i || follows(&rows[k-1], &rows[k])); k++ {
				if tiers[k] == t {
					of++
				}
			}
			if of >= fan {
				return rows[i:k]
			}
			i = max(k, i+1)
		}
	}
	return nil
}

// follows tells whether two rows may be merged again into one: what key compaction has
// gone over stays apart from what it hasn't, which it would have to go over anew.
func follows(a, b *metastore.ExtentRow) bool {
	return a.End == b.Base && segment.IndexCompacted(a.Index) == segment.IndexCompacted(b.Index)
}
