package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// DescribeLogDirs, versions 1–4: how many bytes partitions have.
//
// There is one log directory, the bucket, which holds all partitions. A partition's size is that of its extents
// from the log start on; what compaction or collection will take is not in it. As in
// Kafka, partitions that don't exist are left out, and no list of topics means all.
//
// What differs from Apache Kafka: every agent answers for all partitions; the bucket has no known
// total or free bytes (−1); nobody lags behind (0), and nothing moves between directories.

// logDir is the name of the one log directory.
const logDir = "bucket"

// unknownBytes stands for a number of bytes that nobody knows.
const unknownBytes = -1

func (b *Broker) handleDescribeLogDirs(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = logDir, unknownBytes, unknownBytes
	asked, err := b.sizesAsked(ctx, req)
	for _, a := range asked {
		if err != nil {
			break
		}
		out := kmsg.NewDescribeLogDirsResponseDirTopic()
		out.Topic = a.topic.Name
		for _, index := range a.partitions {
			p, missing := b.place(a.topic, index)
			if missing != nil {
				continue
			}
			answer := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			answer.Partition = index
			if err = b.viewShard(p.shard, func(s *shard.State) { answer.Size = s.Bytes(p.id) }); err != nil {
				break
			}
			out.Partitions = append(out.Partitions, answer)
		}
		if len(out.Partitions) > 0 {
			dir.Topics = append(dir.Topics, out)
		}
	}
	if err != nil {
		dir.ErrorCode, dir.Topics = codeOf(err), nil
	}
	resp.Dirs = append(resp.Dirs, dir)
	return wire.Answer{Message: resp}
}

// sizeAsk is a topic of which sizes are asked for.
type sizeAsk struct {
	topic      *catalog.Topic
	partitions []int32
}

// sizesAsked lists what a request asks for of what exists, each partition once, and brings
// the shards up to date.
func (b *Broker) sizesAsked(ctx context.Context, req *kmsg.DescribeLogDirsRequest) ([]sizeAsk, error) {
	if err := b.confirmCatalog(ctx); err != nil {
		return nil, err
	}
	var asked []sizeAsk
	b.viewCatalog(func(s *catalog.State) {
		if req.Topics == nil {
			for _, t := range s.Topics() {
				all := make([]int32, t.Partitions)
				for i := range all {
					all[i] = int32(i)
				}
				asked = append(asked, sizeAsk{t, all})
			}
			return
		}
		at := map[string]int{}
		for i := range req.Topics {
			t := s.Topic(req.Topics[i].Topic)
			if t == nil {
				continue
			}
			k, again := at[t.Name]
			if !again {
				k = len(asked)
				at[t.Name] = k
				asked = append(asked, sizeAsk{topic: t})
			}
			asked[k].partitions = append(asked[k].partitions, req.Topics[i].Partitions...)
		}
	})
	shards := map[int]bool{}
	for i := range asked {
		slices.Sort(asked[i].partitions)
		asked[i].partitions = slices.Compact(asked[i].partitions)
		for _, index := range asked[i].partitions {
			if p, err := b.place(asked[i].topic, index); err == nil {
				shards[p.shard] = true
			}
		}
	}
	return asked, b.confirmShards(ctx, shards)
}
