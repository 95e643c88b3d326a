package compaction

import (
	"errors"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/segment"
)

// Rows that are too many bytes for a job become one all the same, in pieces, with the same batches.
func TestRewriteLarge(t *testing.T) {
	fill := func(t *testing.T) (*world, *agent, history) {
		w := newWorld(t)
		a := w.agent(func(c *Config, _ *faults) { c.JobBytesMax, c.PieceBytes, c.Fan = 600<<10, 200<<10, 5 })
		a.open(1, 1, forEver)
		for i := range 60 { // 2 MiB in rows of 600 KiB and less
			a.flush(produced{id: p0, records: 1, timestamp: int64(i), value: 60 << 10, transaction: uint64(i + 1), producer: 7})
			a.append(0, shard.AppendMarker(nil, shard.Marker{Producer: 7, Transaction: uint64(i + 1), Epoch: int16(i + 1), Commit: i%3 > 0, Partitions: []shard.PartitionID{p0}}))
		}
		return w, a, a.readPartition(p0)
	}
	t.Run("reads the same", func(t *testing.T) {
		w, a, before := fill(t)
		for range 4 {
			a.do("merge", a.Merge(t.Context(), 0))
		}
		a.wantSame(p0, before, "rewritten")
		rows, err := w.store.Extents(t.Context(), metastore.ExtentQuery{Topic: 1, Limit: 100})
		a.do("rows", err)
		if len(rows) == 0 || rows[0].Length <= 600<<10 || a.Stats.Remerges.Load() == 0 {
			t.Fatalf("%d rows, the first of %d bytes", len(rows), rows[0].Length)
		}
		s, err := segment.ParseMerged(w.bucket.bodies[rows[0].Object])
		if err != nil || s.Verify() != nil || len(s.Extents) != 1 {
			t.Errorf("what was put in parts: %+v, %v, %v", s, err, s.Verify())
		}
	})
	for name, fault := range map[string]func(w *world, large string){
		"a bit is flipped in the bucket": func(w *world, large string) {
			w.bucket.onPut = func(key string, body []byte) ([]byte, error) {
				if key == large {
					body[len(body)-1000] ^= 1
				}
				return body, nil
			}
		},
		"the end is lost": func(w *world, large string) {
			w.bucket.onPut = func(key string, body []byte) ([]byte, error) {
				if key == large {
					return body[:len(body)-1], nil
				}
				return body, nil
			}
		},
		"the commit fails": func(w *world, large string) {
			w.bucket.onPut = func(key string, body []byte) ([]byte, error) {
				if key == large {
					return body, errFault
				}
				return body, nil
			}
		},
		"a source can't be read": func(w *world, large string) {
			w.bucket.onGet = func(key string, _ []byte) error {
				if strings.HasPrefix(key, segment.MergedPrefix) {
					return errFault
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, before := fill(t)
			for len(a.plan(0)) > 0 {
				a.do("merge", a.Compactor.merge(t.Context(), 0, a.plan(0)))
				a.refresh()
			}
			fault(w, segment.ID{Term: uint64(a.term), Number: a.number.Load() + 1, Merged: true}.Key())
			err := a.mergeAgain(t.Context(), 0)
			if failure := errors.Is(err, errFault) || errors.Is(err, errOutput); failure != (name != "a source can't be read") {
				t.Fatalf("%v", err)
			}
			w.bucket.onPut, w.bucket.onGet = nil, nil
			a.wantSame(p0, before, "after the fault")
			w.pass(retryMax)
			a.do("again", a.Merge(t.Context(), 0))
			a.wantSame(p0, before, "in the end")
			if a.Stats.Remerges.Load() == 0 || a.Stopped(p0) != nil {
				t.Errorf("%d rewrites, stopped: %v", a.Stats.Remerges.Load(), a.Stopped(p0))
			}
		})
	}
}
