package memory_test

import (
	"context"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
	"github.com/wadi-io/wadi/metastore/memory"
)

func open(testing.TB) journaltest.Subject {
	s := memory.New(time.Now, metastore.DefaultCluster())
	return journaltest.Subject{
		Store: s, Other: s,
		LoseTail: func(_ testing.TB, j metastore.JournalID, after metastore.Version) { s.LoseTail(j, after) },
	}
}

func TestConformance(t *testing.T) { journaltest.Run(t, open) }

func BenchmarkStore(b *testing.B) { journaltest.Benchmark(b, open) }

// TestLease_RunsByTheGivenClock: a lease ends at the instant, not after it.
func TestLease_RunsByTheGivenClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := memory.New(func() time.Time { return now }, metastore.DefaultCluster())
	ctx := context.Background()
	info, err := s.BeginTerm(ctx, metastore.AgentInfo{}, 10*time.Second)
	if err != nil || info.LeaseLeft != 10*time.Second {
		t.Fatalf("begun %+v, %v", info, err)
	}
	now = now.Add(10*time.Second - 1)
	if err := s.RenewTerm(ctx, info.Term, time.Second, 0); err != nil {
		t.Fatalf("renewal in the last nanosecond: %v", err)
	}
	now = now.Add(time.Second)
	if err := s.RenewTerm(ctx, info.Term, time.Second, 0); err != metastore.ErrTermEnded {
		t.Fatalf("renewal at the end: %v", err)
	}
	if ended, err := s.EndTerm(ctx, info.Term, false); !ended || err != nil {
		t.Fatalf("ended %v, %v", ended, err)
	}
}
