package broker

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// DeleteRecords, versions 0–2: moves the begin of partitions' logs up to an offset; −1 means
// the high watermark.
//
// An entry in each shard moves the log starts, never back. When the answer leaves, the
// records before the offset can't be read any more through this agent, and through others as soon as they
// have read the entry; extents that lie wholly before it leave the replicas' memory, and
// their bytes the bucket later. The answer tells the log start.
//
// What differs from Apache Kafka:
//   - −1 means the high watermark when the entry is folded, which may be later than the request.
//   - A partition that comes twice in a request: the last one counts, as in Kafka, and both are
//     answered with it.
//   - The time-out bounds the wait for this agent to catch up; a move that has begun is
//     answered when its outcome is certain.

const (
	// deleteToHighWatermark asks for all records.
	deleteToHighWatermark = -1
	// noLowWatermark is told where there is an error.
	noLowWatermark = -1
)

// purge is a partition whose log shall begin later, and what becomes of that.
type purge struct {
	place
	offset   int64
	logStart int64
	err      error
}

func (b *Broker) handleDeleteRecords(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	wait := ctx
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	purges := b.purges(wait, req)
	b.purge(wait, purges)
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = asked.Topic
		for _, p := range asked.Partitions {
			done := purges[partitionName{asked.Topic, p.Partition}]
			answer := kmsg.NewDeleteRecordsResponseTopicPartition()
			answer.Partition, answer.LowWatermark = p.Partition, noLowWatermark
			if answer.ErrorCode = codeOf(done.err); done.err == nil {
				answer.LowWatermark = done.logStart
			}
			out.Partitions = append(out.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return wire.Answer{Message: resp}
}

// partitionName is how requests name partitions.
type partitionName struct {
	topic string
	index int32
}

// purges lists the partitions of a request, with what can be refused at once.
func (b *Broker) purges(ctx context.Context, req *kmsg.DeleteRecordsRequest) map[partitionName]*purge {
	err := b.confirmCatalog(ctx)
	purges := map[partitionName]*purge{}
	for i := range req.Topics {
		t := b.topic(req.Topics[i].Topic)
		for _, p := range req.Topics[i].Partitions {
			g := &purge{offset: p.Offset, err: err}
			if g.err == nil {
				g.place, g.err = b.place(t, p.Partition)
			}
			switch {
			case g.err != nil:
			case b.compactedOnly(t):
				g.err = refuse(wire.CodePolicyViolation, "Records of partition %s-%d can not be deleted due to the configured policy", t.Name, p.Partition)
			case p.Offset < deleteToHighWatermark:
				g.err = refuse(wire.CodeOffsetOutOfRange, "The offset %d for partition %s-%d is not valid", p.Offset, t.Name, p.Partition)
			}
			purges[partitionName{req.Topics[i].Topic, p.Partition}] = g
		}
	}
	return purges
}

// compactedOnly tells whether the records of a topic go by compaction and by nothing else.
func (b *Broker) compactedOnly(t *catalog.Topic) bool {
	policy := splitList(b.topics.value(t, "cleanup.policy"))
	return slices.Contains(policy, "compact") && !slices.Contains(policy, "delete")
}

// purge moves the log starts. A shard's are one entry, as far as it has room.
func (b *Broker) purge(ctx context.Context, purges map[partitionName]*purge) {
	shards := map[int]bool{}
	for _, g := range purges {
		if g.err == nil {
			shards[g.shard] = true
		}
	}
	err := b.confirmShards(ctx, shards)
	var open []*purge
	for _, g := range purges {
		if g.err == nil {
			g.err = err
		}
		if g.err == nil {
			g.err = b.checkOffset(g)
		}
		if g.err == nil {
			open = append(open, g)
		}
	}
	slices.SortFunc(open, func(a, c *purge) int { return a.id.Compare(c.id) })
	for len(open) > 0 {
		open = open[b.moveLogStarts(open):]
	}
}

// checkOffset holds an offset against the high watermark of the partition.
func (b *Broker) checkOffset(g *purge) (err error) {
	if stopped := b.viewShard(g.shard, func(s *shard.State) {
		_, high, _, open := s.Bounds(g.id)
		switch {
		case !open:
			err = errNoPartition
		case g.offset > high:
			err = refuse(wire.CodeOffsetOutOfRange, "Cannot increment the log start offset to %d of partition %v since it is larger than the high watermark %d",
				g.offset, g.id, high)
		}
	}); stopped != nil {
		return stopped
	}
	return err
}

// moveLogStarts appends one entry a shard for the first of the purges, and returns for how many.
func (b *Broker) moveLogStarts(open []*purge) int {
	d := &drafts{}
	parts := map[int][]*purge{}
	count := 0
	for _, g := range open {
		if d.full() {
			break
		}
		offset := g.offset
		if offset == deleteToHighWatermark {
			offset = math.MaxInt64
		}
		d.shard(g.shard, func(dst []byte) []byte { return shard.AppendLogStart(dst, g.id, offset) })
		parts[g.shard] = append(parts[g.shard], g)
		count++
	}
	landed, err := b.deps.Writer.Append(b.deps.Term, d.shardList())
	if err != nil {
		b.tellFailed("log starts could not be moved", err)
		for _, g := range open[:count] {
			g.err = err
		}
		return count
	}
	for i, s := range d.order {
		for j, g := range parts[s] {
			// Moved for good, whoever reads the journal from here on.
			g.logStart = logStartOf(landed, i, j)
			if g.logStart < 0 {
				g.err = errNoPartition // closed meanwhile: the entry is void
			}
		}
	}
	return count
}

// logStartOf is the outcome of an effect; −1: void.
func logStartOf(landed *metastore.Landed, part, effect int) int64 {
	if part < len(landed.Parts) && effect < len(landed.Parts[part].Outcomes) {
		if start, ok := landed.Parts[part].Outcomes[effect].(int64); ok {
			return start
		}
	}
	return -1
}

// shardList returns the drafts of the shards alone.
func (d *drafts) shardList() []metastore.Draft {
	all := make([]metastore.Draft, 0, len(d.order))
	for _, i := range d.order {
		all = append(all, metastore.Draft{Journal: metastore.ShardJournal(i), Effects: d.shards[i]})
	}
	return all
}
