package journaltest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Benchmark measures the statements that an agent repeats, on a cluster with at
// least 64 shards: an append of 1 and of 64 rows of 200 bytes, a read of every journal
// that finds nothing, a renewal.
func Benchmark(b *testing.B, open func(t testing.TB) Subject) {
	s := open(b).Store
	term := Begin(b, s)
	payload := make([]byte, 200)
	rand.NewChaCha8([32]byte{}).Read(payload)
	heads := make(map[metastore.JournalID]metastore.Version)
	for _, rows := range []int{1, 64} {
		parts := make([]metastore.AppendPart, rows)
		for i := range parts {
			parts[i] = metastore.AppendPart{Journal: shardJournal(i), Payload: payload}
		}
		b.Run(fmt.Sprintf("append-%d-rows", rows), func(b *testing.B) {
			for b.Loop() {
				for i, v := range Append(b, s, term, parts...) {
					heads[parts[i].Journal] = v
				}
			}
		})
	}
	b.Run("read-nothing-new", func(b *testing.B) {
		var positions []metastore.Position
		for _, j := range s.Cluster().Journals() {
			positions = append(positions, metastore.Position{Journal: j, After: heads[j]})
		}
		for b.Loop() {
			if _, err := s.Read(b.Context(), positions, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("renew", func(b *testing.B) {
		for b.Loop() {
			if err := s.RenewTerm(b.Context(), term, time.Hour, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
