package broker

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore/catalog"
)

// produceReused is what a produce keeps for the request after it, so that a small one allocates next to nothing.
type produceReused struct {
	answers []kmsg.ProduceResponseTopicPartition
	find    func(*catalog.State) // findIn and release as values, made once
	release func()
}

// produceElementsKept bounds the topics and partitions of a produce that is kept.
const produceElementsKept = 4 << 10

var produces = sync.Pool{New: func() any { return new(produce) }}

func newProduce(b *Broker, req *kmsg.ProduceRequest) *produce {
	p := produces.Get().(*produce)
	if p.reused.find == nil {
		p.reused.find, p.reused.release = p.findIn, p.release
	}
	p.b, p.req, p.resp.Version = b, req, req.Version
	return p
}

// release gives the produce up for reuse, once its answer has been written or given up. Nothing
// that it refers to stays with it.
func (p *produce) release() {
	if cap(p.reused.answers) > produceElementsKept || cap(p.resp.Topics) > produceElementsKept {
		return
	}
	clear(p.reused.answers)
	clear(p.resp.Topics)
	clear(p.batches)
	clear(p.places)
	clear(p.topics)
	*p = produce{
		resp:    kmsg.ProduceResponse{Topics: p.resp.Topics[:0]},
		batches: p.batches[:0],
		places:  p.places[:0],
		topics:  p.topics[:0],
		reused:  p.reused,
	}
	produces.Put(p)
}

// makeRoom makes room for the topics of the request and so many partitions, and returns that of their answers.
func (p *produce) makeRoom(partitions int) []kmsg.ProduceResponseTopicPartition {
	topics := len(p.req.Topics)
	p.resp.Topics = room(p.resp.Topics, topics)
	p.topics = room(p.topics, topics)
	p.batches = room(p.batches, partitions)[:0]
	p.places = room(p.places, partitions)[:0]
	p.reused.answers = room(p.reused.answers, partitions)
	return p.reused.answers
}

// room returns a slice of n elements: that of s, where it is large enough.
func room[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
