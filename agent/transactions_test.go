package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// transactional is a producer with a transactional id.
func (s *started) transactional(id string, opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	return s.client(append([]kgo.Opt{kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
}

// transact begins a transaction, produces a value into each of the partitions, and ends it.
func (s *started) transact(c *kgo.Client, end kgo.TransactionEndTry, partitions int32, value string) error {
	s.t.Helper()
	if err := c.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for p := range partitions {
		records = append(records, record("t", p, value))
	}
	if err := c.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		return errors.Join(err, c.EndTransaction(s.t.Context(), kgo.TryAbort))
	}
	return c.EndTransaction(s.t.Context(), end)
}

// committed reads what readers of committed records see of topic t, until there is nothing for a second.
func (s *started) committed(partitions int32, opts ...kgo.Opt) []string {
	s.t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range partitions {
		from[p] = kgo.NewOffset().AtStart()
	}
	c := s.client(append([]kgo.Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": from})}, opts...)...)
	defer c.Close()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
		fs := c.PollFetches(ctx)
		cancel()
		if fs.NumRecords() == 0 {
			slices.Sort(got)
			return got
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
}

// TestTransactions_CommitAndAbort: what was committed is read, what was aborted isn't.
func TestTransactions_CommitAndAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		c := s.transactional("id")
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			if err := s.transact(c, end, 4, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.committed(4); !slices.Equal(got, []string{"0", "0", "0", "0", "2", "2", "2", "2"}) {
			t.Errorf("read %q", got)
		}
		described, err := kadm.NewClient(s.client()).DescribeTransactions(t.Context(), "id")
		if d := described["id"]; err != nil || d.Err != nil || d.State != "CompleteAbort" || d.ProducerEpoch != 4 {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// TestTransactions_Fencing: of two producers with one id the first one is fenced, and its transaction aborted.
func TestTransactions_Fencing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		one, two := s.transactional("id"), s.transactional("id")
		if err := one.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := one.ProduceSync(t.Context(), record("t", 0, "one")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := s.transact(two, kgo.TryCommit, 1, "two"); err != nil {
			t.Fatal(err)
		}
		err := one.ProduceSync(t.Context(), record("t", 0, "late")).FirstErr()
		if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("the first one's record: %v", err)
		}
		if err := one.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
			t.Error("the first one committed")
		}
		if got := s.committed(1); !slices.Equal(got, []string{"two"}) {
			t.Errorf("read %q", got)
		}
	})
}

// TestTransactions_TimeOut: a transaction that nobody ends is aborted, and doesn't hold up readers for ever.
func TestTransactions_TimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		c := s.transactional("id", kgo.TransactionTimeout(20*time.Second))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(t.Context(), record("t", 0, "forgotten")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := s.transact(s.transactional("other"), kgo.TryCommit, 1, "behind"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := s.committed(1); len(got) != 0 {
			t.Errorf("read %q beside an open transaction", got)
		}
		time.Sleep(25 * time.Second)
		if got := s.committed(1); !slices.Equal(got, []string{"behind"}) {
			t.Errorf("read %q", got)
		}
	})
}

// TestTransactions_GroupOffsets: a copier's offsets stand if and only if its records do, through lost terms.
func TestTransactions_GroupOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("in", 2)
		s.create("t", 2)
		source := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		var want []string
		for i := range 60 {
			want = append(want, fmt.Sprintf("%02d", i))
			if err := source.ProduceSync(t.Context(), record("in", int32(i%2), want[i])).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for life, copied := 0, 0; copied < len(want); life++ {
			session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(s.pipes.dial), kgo.TransactionalID("copier"),
				kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			for turn := 0; turn < 4 && copied < len(want); turn++ {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				fs := session.PollRecords(ctx, 7)
				cancel()
				if fs.NumRecords() == 0 {
					break
				}
				if err := session.Begin(); err != nil {
					t.Fatal(err)
				}
				fs.EachRecord(func(r *kgo.Record) {
					session.Produce(t.Context(), record("t", r.Partition, string(r.Value)), nil)
				})
				switch {
				case turn == 1: // aborted: read again by the next life
					if _, err := session.End(t.Context(), kgo.TryAbort); err != nil {
						t.Log(err)
					}
				case turn == 3 && life%2 == 0: // left open
				default:
					committed, err := session.End(t.Context(), kgo.TryCommit)
					if err != nil {
						t.Log(err)
					}
					if committed {
						copied += fs.NumRecords()
					}
				}
			}
			session.Close()
			if life%3 == 1 {
				if _, err := s.process.store.EndTerm(t.Context(), s.serving.Load().info.Term, true); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
			}
			if life > 100 {
				t.Fatalf("%d copied", copied)
			}
		}
		if got := s.committed(2); !slices.Equal(got, want) {
			t.Errorf("copied %q", got)
		}
	})
}

// TestTransactions_Cost: what a transaction takes of metastore and bucket does not grow with its partitions.
func TestTransactions_Cost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 100)
		c := s.transactional("id", kgo.ProducerLinger(5*time.Millisecond))
		for range 2 {
			if err := s.transact(c, kgo.TryCommit, 100, "warm"); err != nil {
				t.Fatal(err)
			}
		}
		for _, partitions := range []int32{1, 10, 100} {
			synctest.Wait()
			before := s.cost()
			if err := s.transact(c, kgo.TryCommit, partitions, "x"); err != nil {
				t.Fatal(err)
			}
			// The partitions are added, the batches appended, and the decision stands with its markers.
			if c := s.cost().since(before); c.puts != 1 || c.statements.Append != 3 {
				t.Errorf("%d partitions: %d PUTs, statements %+v", partitions, c.puts, c.statements)
			}
		}
	})
}
