package shard

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/wadi-io/wadi/metastore"
)

// bodyOf is a list of varints and bytes.
func bodyOf(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch x := p.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(x))
		case uint64:
			b = binary.AppendUvarint(b, x)
		case []byte:
			b = append(b, x...)
		}
	}
	return b
}

// TestApply_Hostile: what no writer of ours encodes stops the journal.
func TestApply_Hostile(t *testing.T) {
	id := make([]byte, 16)
	for name, c := range map[string]struct {
		kind metastore.EffectKind
		body []byte
	}{
		"more batches than bytes":      {metastore.EffectFlush, bodyOf(1, 1<<40)},
		"reserved flag":                {metastore.EffectFlush, bodyOf(1, 1, flagReserved, 1, 1, 0)},
		"both topic and index":         {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagIndex, 1, 1, 1, 1, 0)},
		"epoch without producer":       {metastore.EffectFlush, bodyOf(1, 1, flagEpoch, 1, 1, 0, 1)},
		"no bytes":                     {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 0, 0, 1, 0)},
		"no offsets":                   {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 0, 1, 0, 0)},
		"too many offsets":             {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 0, 1, 1<<31, 0)},
		"beyond a segment's end":       {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagPosition, 1, 0, math.MaxUint32, 1, 1, 0)},
		"a negative position":          {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagPosition, 1, 0, uint64(math.MaxUint64), 1, 1, 0)},
		"a negative length":            {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 0, uint64(math.MaxUint64), 1, 0)},
		"an index over 2³¹−1":          {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 1<<31, 1, 1, 0)},
		"an index that wraps":          {metastore.EffectFlush, bodyOf(1, 1, flagIndex, math.MaxUint32, 1, 1, 0)},
		"a negative producer":          {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagProducer, 1, 0, 1, 1, 0, 1, 0)},
		"an epoch over 2¹⁵−1":          {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagProducer|flagEpoch, 1, 0, 1, 1, 0, 2, 1<<15, 0)},
		"a sequence over 2³¹−1":        {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagProducer, 1, 0, 1, 1, 0, 2, 1<<31)},
		"a batch cut off":              {metastore.EffectFlush, bodyOf(1, 1, flagTopic, 1, 0, 1)},
		"transaction without producer": {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagTransaction, 1, 0, 1, 1, 0, 2)},
		"transaction 0":                {metastore.EffectFlush, bodyOf(1, 1, flagTopic|flagProducer|flagTransaction, 1, 0, 1, 1, 0, 2, 0, 0)},
		"a marker of no transaction":   {metastore.EffectMarker, bodyOf(7, 0, 0, 0, 0, 1, 1, 1, 0)},
		"a marker's result":            {metastore.EffectMarker, bodyOf(7, 1, 0, 0, 0, 2, 1, 1, 0)},
		"a marker of no partition":     {metastore.EffectMarker, bodyOf(7, 1, 0, 0, 0, 1, 0)},
		"a marker of one twice":        {metastore.EffectMarker, bodyOf(7, 1, 0, 0, 0, 1, 2, 1, 0, 0, 0)},
		"a marker's time":              {metastore.EffectMarker, bodyOf(7, 1, 0, 0, uint64(1<<63), 1, 1, 1, 0)},
		"a marker's epoch":             {metastore.EffectMarker, bodyOf(7, 1, 1<<15, 0, 0, 1, 1, 1, 0)},
		"a forget that expects none":   {metastore.EffectForgetProducer, bodyOf(1, 0, 7, 0, 0, 0)},
		"a fence's epoch":              {metastore.EffectFence, bodyOf(1, 0, 7, 1<<15, 0)},
		"a fence's expected epoch":     {metastore.EffectFence, bodyOf(1, 0, 7, 0, 1<<15+1, 0)},
		"a fence's expected last":      {metastore.EffectFence, bodyOf(1, 0, 7, 0, 1, 1<<31+1)},
		"a forget's last":              {metastore.EffectForgetProducer, bodyOf(1, 0, 7, 0, 1<<31+1)},
		"a negative log start":         {metastore.EffectLogStart, bodyOf(1, 0, uint64(1<<63))},
		"no partitions":                {metastore.EffectPartitionsOpened, bodyOf(2, id, 0, 1, 0)},
		"no stride":                    {metastore.EffectPartitionsOpened, bodyOf(2, id, 0, 0, 2)},
		"indexes over 2³¹−1":           {metastore.EffectPartitionsOpened, bodyOf(2, id, math.MaxInt32, 1, 2)},
		"more partitions than exist":   {metastore.EffectPartitionsOpened, bodyOf(2, id, 0, 1, partitionsMax+1)},
		"more partitions than fit":     {metastore.EffectPartitionsOpened, bodyOf(2, id, 0, 1, partitionsMax)},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			apply(t, s, 1, AppendOpened(nil, Opened{Topic: 1, Count: 4}))
			if _, err := s.Apply(metastore.At{}, c.kind, c.body, true); err == nil {
				t.Error("folded")
			}
		})
	}
}

// TestApply_OffsetsEnd: a partition's offsets end at 2⁶³−1; its end is never a wrapped one.
func TestApply_OffsetsEnd(t *testing.T) {
	s := New()
	apply(t, s, 1, AppendOpened(nil, Opened{Topic: 1, Count: 1}))
	s.partition(p0).highWatermark = math.MaxInt64 - 5
	s.partition(p0).logStart = math.MaxInt64 - 5
	apply(t, s, 1, flush(batch(NoProducer, 0, 0, 5)))
	if _, err := applyEffect(s, metastore.At{}, flush(batch(NoProducer, 0, 0, 1))); err == nil {
		t.Error("folded")
	}
}

// TestRestore_Hostile cuts a snapshot at every byte and changes every one: it is
// refused and leaves the state, or it is the snapshot of a state.
func TestRestore_Hostile(t *testing.T) {
	j := newJournal(t)
	for _, e := range goldenTransactions() {
		j.land(e)
	}
	snapshot := j.state.AppendSnapshot(nil)
	for n := range snapshot {
		if err := j.state.Restore(snapshot[:n]); err == nil {
			t.Fatalf("restored from the first %d bytes", n)
		}
	}
	if err := j.state.Restore(append(snapshot[:len(snapshot):len(snapshot)], 0)); err == nil {
		t.Error("restored with a byte too much")
	}
	if !bytes.Equal(j.state.AppendSnapshot(nil), snapshot) {
		t.Error("the state has changed")
	}
	partition := bodyOf(make([]byte, 16), 1, 1, 0, 0, 0, 0, 0)
	if err := New().Restore(bodyOf(snapshotFormat, 2, 5, partition, 1, partition)); err != nil {
		t.Error(err)
	}
	if err := New().Restore(bodyOf(snapshotFormat, 2, 5, partition, uint64(math.MaxUint64-2), partition)); err == nil {
		t.Error("restored topics 5 and 2, in this order")
	}
	for i := range snapshot {
		for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff, snapshot[i] + 1} {
			changed := bytes.Clone(snapshot)
			changed[i] = value
			s := New()
			if err := s.Restore(changed); err != nil {
				continue
			}
			again := New()
			if err := again.Restore(s.AppendSnapshot(nil)); err != nil {
				t.Fatalf("byte %d as %#x: %v", i, value, err)
			}
		}
	}
}
