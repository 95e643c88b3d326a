package shard

import (
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// journal is a shard's journal in a test, and a replica that follows it.
type journal struct {
	t       *testing.T
	state   *State
	fold    *metastore.Fold
	entries [][]byte
	numbers map[metastore.Term]uint64
}

func newJournal(t *testing.T) *journal {
	s := New()
	return &journal{t: t, state: s, fold: metastore.NewFold(s), numbers: map[metastore.Term]uint64{}}
}

var testTopicID = [16]byte{0xaa, 1, 2, 3}

// opened is a journal whose first entry opens partitions 0 to 3 of topic 1.
func opened(t *testing.T) *journal {
	j := newJournal(t)
	j.append(99, AppendOpened(nil, Opened{Topic: 1, ID: testTopicID, Stride: 1, Count: 4}))
	return j
}

// entry encodes the term's next entry. The writer's clock is 1,000 × the number.
func (j *journal) entry(term metastore.Term, effects ...[]byte) []byte {
	j.numbers[term]++
	n := j.numbers[term]
	e := metastore.AppendHeader(nil, metastore.Header{Term: term, Number: n, Time: int64(1000 * n)})
	for _, effect := range effects {
		e = append(e, effect...)
	}
	return e
}

// land adds an entry to the journal and folds it.
func (j *journal) land(entry []byte) metastore.Result {
	j.t.Helper()
	res, err := j.tryLand(entry)
	if err != nil {
		j.t.Fatal(err)
	}
	return res
}

func (j *journal) tryLand(entry []byte) (metastore.Result, error) {
	j.entries = append(j.entries, entry)
	return j.fold.Apply(metastore.Version(len(j.entries)), entry, func(metastore.Header) bool { return true })
}

// append lands the term's next entry.
func (j *journal) append(term metastore.Term, effects ...[]byte) metastore.Result {
	j.t.Helper()
	return j.land(j.entry(term, effects...))
}

// follow returns another replica, that has folded the first n entries.
func (j *journal) follow(n int) *journal {
	r := newJournal(j.t)
	for _, e := range j.entries[:n] {
		r.land(e)
	}
	return r
}

var p0, p1 = PartitionID{1, 0}, PartitionID{1, 1}

// batch is one of partition 0, 100 bytes long, with one record a sequence.
func batch(producer int64, epoch int16, first, count int32) FlushBatch {
	return FlushBatch{
		Partition: p0, Length: 100, Offsets: count, MaxTimestamp: 5000,
		ProducerID: producer, Epoch: epoch, BaseSequence: first,
	}
}

// flush appends a flush of batches in segment 1, at rising positions from 10 on.
func flush(batches ...FlushBatch) []byte { return flushOf(1, batches...) }

func flushOf(segmentNumber uint64, batches ...FlushBatch) []byte {
	at := int64(10)
	for i := range batches {
		batches[i].Position = at
		at += batches[i].Length
	}
	return AppendFlush(nil, segmentNumber, batches)
}

// stood returns which batches of the flush that is the result's only effect stood.
func stood(r metastore.Result) []bool {
	var s []bool
	if r.Void {
		return s
	}
	for _, o := range r.Outcomes[0].([]BatchOutcome) {
		s = append(s, o.Stood)
	}
	return s
}
