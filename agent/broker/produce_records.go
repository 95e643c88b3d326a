package broker

import (
	"fmt"
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// recordErrorsMax bounds the records that an answer names as the cause of an error.
const recordErrorsMax = 1000

// recordErrorsToldMax is how many of them an error's message repeats.
const recordErrorsToldMax = 3

// checkRecords looks at the records of a batch, whose header is fine, and corrects the
// header's max timestamp. A batch is taken or refused whole: answer names the records at fault.
func (p *produce) checkRecords(t *catalog.Topic, c *produceConfig, b []byte, h batch.Header, answer *kmsg.ProduceResponseTopicPartition, now int64) (batch.Header, error) {
	rules := c.rules(now)
	if p.b.cfg.TrustCompressed && h.Codec() != batch.None && !c.keyed {
		return h, checkHeaderTimes(h, rules)
	}
	rules.DecompressedBytesMax = p.b.cfg.Limits.DecompressedBytesMax
	rules.Header = p.tracing.wanted
	largest, faults, err := p.inspector.Inspect(b, h, rules)
	if err != nil {
		return h, err
	}
	if rules.Header != "" {
		p.tracing.parent, p.tracing.wanted = p.inspector.Header(), ""
	}
	if len(faults) > 0 {
		return h, tellFaults(t, faults, rules, answer)
	}
	if c.logAppendTime || largest == h.MaxTimestamp {
		return h, nil
	}
	batch.SetMaxTimestamp(b, largest)
	return batch.Parse(b)
}

// rules are those of a topic's configs at a time.
func (c *produceConfig) rules(now int64) batch.Rules {
	r := batch.Rules{Keyed: c.keyed, AnyTime: c.logAppendTime, Earliest: now - c.beforeMaxMs, Latest: math.MaxInt64, FaultsMax: recordErrorsMax}
	if c.afterMaxMs <= math.MaxInt64-now {
		r.Latest = now + c.afterMaxMs
	}
	return r
}

// checkHeaderTimes judges the first and the largest timestamp that a header tells.
func checkHeaderTimes(h batch.Header, r batch.Rules) error {
	for _, ts := range [...]int64{h.FirstTimestamp, h.MaxTimestamp} {
		if !r.AnyTime && ts != -1 && (ts < r.Earliest || ts > r.Latest) {
			return refuse(wire.CodeInvalidTimestamp, "Timestamp %d is out of range. The timestamp should be within [%d, %d]", ts, r.Earliest, r.Latest)
		}
	}
	return nil
}

// tellFaults names the records at fault in the answer and returns what their batch is refused with.
func tellFaults(t *catalog.Topic, faults []batch.Fault, r batch.Rules, answer *kmsg.ProduceResponseTopicPartition) error {
	var told []string
	times := false
	for _, f := range faults {
		message := fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d", t.Name, answer.Partition)
		if !f.NoKey {
			times = true
			message = fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
				f.Timestamp, f.Index, max(r.Earliest, 0), r.Latest)
		}
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = f.Index, &message
		answer.ErrorRecords = append(answer.ErrorRecords, e)
		if len(told) < recordErrorsToldMax {
			told = append(told, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", f.Index, message))
		}
	}
	if times {
		return refuse(wire.CodeInvalidTimestamp, "One or more records have been rejected due to invalid timestamp")
	}
	return refuse(wire.CodeInvalidRecord, "One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		len(faults), strings.Join(told, ", "))
}

// tellLogStart gives the log start with those refusals that Kafka gives it with: where
// it has found the partition and the batch to be one.
func (p *produce) tellLogStart(t *catalog.Topic, answer *kmsg.ProduceResponseTopicPartition, err error) {
	switch codeOf(err) {
	case wire.CodeInvalidRecord, wire.CodeInvalidTimestamp:
	default:
		return
	}
	where, err := p.b.place(t, answer.Partition)
	if err != nil {
		return
	}
	start := int64(-1)
	if p.b.viewShard(where.shard, func(s *shard.State) { start, _, _, _ = s.Bounds(where.id) }) == nil {
		answer.LogStartOffset = start
	}
}
