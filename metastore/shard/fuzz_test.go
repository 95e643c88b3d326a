package shard

import (
	"testing"
	"unsafe"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

// memory is what an input may ask for: a factor of its size, and what one opening may
// take, which is each partition and two pointers to it.
func memory() machinetest.Memory {
	return machinetest.Memory{Factor: 200, Bytes: partitionsMax*int(unsafe.Sizeof(partition{})+2*unsafe.Sizeof(&partition{})) + 16<<20}
}

// FuzzApply folds any effects onto a state; what it comes to can be taken up from a snapshot.
func FuzzApply(f *testing.F) {
	machinetest.AddEffects(f, goldenEntries())
	machinetest.AddEffects(f, goldenTransactions())
	at := metastore.At{Version: 4, Header: metastore.Header{Term: 3, Number: 1, Time: 1_700_000_000_000}}
	kit().FuzzApply(f, kit().Fold(f, goldenTransactions()[:3]).AppendSnapshot(nil), at, memory())
}

// FuzzFlush decodes any flush, and encodes what it read.
func FuzzFlush(f *testing.F) {
	_, effects, err := metastore.ParseEntry(goldenEntries()[1])
	if err != nil {
		f.Fatal(err)
	}
	_, body, _, _ := effects.Next()
	f.Add(body)
	_, effects, err = metastore.ParseEntry(goldenTransactions()[1])
	if err != nil {
		f.Fatal(err)
	}
	_, body, _, _ = effects.Next()
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		d := metastore.Decoder{Rest: body}
		r := readFlush(&d)
		var batches []FlushBatch
		for range r.count {
			if r.next() != nil {
				return
			}
			batches = append(batches, r.batch)
		}
		if atEnd(&d) != nil {
			return
		}
		number, again := decodeFlush(t, AppendFlush(nil, r.segment, batches))
		if number != r.segment || len(again) != len(batches) {
			t.Fatal("another flush")
		}
		for i := range again {
			if again[i] != batches[i] {
				t.Fatalf("%+v became %+v", batches[i], again[i])
			}
		}
	})
}

// FuzzRestore takes any bytes for a snapshot; one that is taken has one coding, and can be read.
func FuzzRestore(f *testing.F) {
	snapshots := machinetest.Memory{Factor: memory().Factor, Bytes: machinetest.DefaultBytes}
	kit().FuzzRestore(f, snapshots, func(s *State) {
		for _, p := range s.Partitions() {
			start, end, _, _ := s.Bounds(p)
			s.Aborted(p, start, end, nil)
			s.OpenTransactions(p, 10)
			s.Plan(p, start, 1<<20, nil)
			s.FirstSince(p, 0)
			s.FirstSinceFrom(p, end-1, 0)
			s.MaxTimestamp(p)
		}
	}, goldenEntries(), goldenTransactions())
}
