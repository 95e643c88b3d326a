package postgres

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
	"github.com/wadi-io/wadi/metastore/shard"
)

// flush is what an agent appends for one segment with a batch of each of some
// partitions, spread over all shards.
func flush(cluster metastore.Cluster, term metastore.Term, number uint64, partitions int) []metastore.AppendPart {
	batches := make([][]shard.FlushBatch, cluster.Shards)
	now := time.Now().UnixMilli()
	position := int64(64)
	for p := range partitions {
		i := p % cluster.Shards
		batches[i] = append(batches[i], shard.FlushBatch{
			Partition: shard.PartitionID{Topic: uint64(1 + p/50), Index: int32(p % 50)}, Position: position, Length: 16<<10 + int64(p),
			Offsets: 16, MaxTimestamp: now - int64(p%1000), ProducerID: int64(4000 + p), Epoch: 1, BaseSequence: int32(16 * number),
			Transaction: shard.NoTransaction,
		})
		position += 16<<10 + int64(p)
	}
	parts := make([]metastore.AppendPart, 0, cluster.Shards)
	for i := range batches {
		if len(batches[i]) == 0 {
			continue
		}
		head := metastore.AppendHeader(nil, metastore.Header{Term: term, Number: number, Time: now})
		parts = append(parts, metastore.AppendPart{Journal: metastore.ShardJournal(i), Payload: shard.AppendFlush(head, number, batches[i])})
	}
	return parts
}

// TestFigure_WALOfABatch: at 500 partitions a flush a batch takes at most 200 bytes of the
// server's log, with all that the server writes beside it.
func TestFigure_WALOfABatch(t *testing.T) {
	const partitions, flushes, bytesMax = 500, 40, 200
	url := server.Database(t)
	s, conn := openStore(t, url), connect(t, url)
	term := journaltest.Begin(t, s)
	number := uint64(0)
	run := func(n int) {
		for range n {
			number++
			if _, err := s.Append(t.Context(), term, flush(s.Cluster(), term, number, partitions)); err != nil {
				t.Fatal(err)
			}
		}
	}
	exec(t, conn, "checkpoint")
	run(5) // each page is written whole once after a checkpoint
	place := func() (lsn string) {
		if err := conn.QueryRow(t.Context(), "select pg_current_wal_insert_lsn()::text").Scan(&lsn); err != nil {
			t.Fatal(err)
		}
		return lsn
	}
	before := place()
	run(flushes)
	var bytes float64
	if err := conn.QueryRow(t.Context(), "select pg_wal_lsn_diff($1::text::pg_lsn, $2::text::pg_lsn)::float8", place(), before).Scan(&bytes); err != nil {
		t.Fatal(err)
	}
	batch := bytes / (flushes * partitions)
	t.Logf("%.1f bytes of WAL a batch", batch)
	if batch > bytesMax || batch < 20 {
		t.Errorf("%.1f bytes of WAL a batch, want at most %d", batch, bytesMax)
	}
}

// TestFigure_NineWritersOfEveryShard: agents whose clients ignore zones all write every
// shard, 20 times a second each. A flush is one statement, and none waits in a circle or is lost.
func TestFigure_NineWritersOfEveryShard(t *testing.T) {
	for _, way := range []string{"directly", "through PgBouncer"} {
		t.Run(way, func(t *testing.T) {
			const writers, flushes, every = 9, 50, 50 * time.Millisecond
			direct := server.Database(t)
			url := direct
			if way != "directly" {
				url = server.Bouncer(t, direct)
			}
			cfg, schema, err := parse(url)
			if err != nil {
				t.Fatal(err)
			}
			var c counter
			cfg.ConnConfig.Tracer = &c
			stores := make([]*Store, writers)
			terms := make([]metastore.Term, writers)
			for i := range stores {
				if stores[i], err = open(t.Context(), cfg.Copy(), schema, metastore.DefaultCluster()); err != nil {
					t.Fatal(err)
				}
				defer stores[i].Close()
				terms[i] = journaltest.Begin(t, stores[i])
			}
			sent := c.sent.Load()
			seen := make([]map[string]bool, writers) // journal and version
			var running sync.WaitGroup
			began := time.Now()
			for i, s := range stores {
				seen[i] = map[string]bool{}
				running.Go(func() {
					tick := time.NewTicker(every)
					defer tick.Stop()
					for n := range uint64(flushes) {
						parts := flush(s.Cluster(), terms[i], n+1, s.Cluster().Shards)
						versions, err := s.Append(t.Context(), terms[i], parts)
						if err != nil {
							t.Errorf("writer %d: %v", i, err)
							return
						}
						for k, v := range versions {
							seen[i][fmt.Sprint(parts[k].Journal, v)] = true
						}
						<-tick.C
					}
				})
			}
			running.Wait()
			took := time.Since(began)
			statements := c.sent.Load() - sent
			t.Logf("%d flushes in %v, %.2f statements each", writers*flushes, took.Round(time.Millisecond), float64(statements)/(writers*flushes))
			if statements != writers*flushes {
				t.Errorf("%d statements for %d flushes", statements, writers*flushes)
			}
			all := map[string]bool{}
			for _, versions := range seen {
				for v := range versions {
					all[v] = true
				}
			}
			if want := writers * flushes * stores[0].Cluster().Shards; len(all) != want {
				t.Errorf("%d entries have a version of their own, of %d", len(all), want)
			}
			for i := range stores[0].Cluster().Shards {
				if head := journaltest.Head(t, stores[0], metastore.ShardJournal(i)); head != writers*flushes {
					t.Errorf("shard %d has %d entries, of %d", i, head, writers*flushes)
				}
			}
			var deadlocks int
			conn := connect(t, direct)
			if err := conn.QueryRow(t.Context(), "select deadlocks from pg_stat_database where datname = current_database()").Scan(&deadlocks); err != nil || deadlocks != 0 {
				t.Errorf("%d deadlocks, %v", deadlocks, err)
			}
		})
	}
}

// TestAppend_RefusedOnceCommitsCanBeLost: a setting that a reload changes while agents run.
func TestAppend_RefusedOnceCommitsCanBeLost(t *testing.T) {
	url := server.Database(t)
	s, conn := openStore(t, url), connect(t, url)
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "1"))
	set := func(statement, value string) {
		t.Helper()
		exec(t, conn, statement)
		exec(t, conn, "select pg_reload_conf()")
		// Each session takes the change up between two of its statements.
		for now := ""; now != value; {
			fresh, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			if err := fresh.QueryRow(t.Context(), "select current_setting('synchronous_commit')").Scan(&now); err != nil {
				t.Fatal(err)
			}
			fresh.Close(t.Context())
		}
	}
	t.Cleanup(func() {
		exec(t, conn, "alter system reset synchronous_commit")
		exec(t, conn, "select pg_reload_conf()")
	})
	set("alter system set synchronous_commit = off", "off")
	refused := false
	for !refused && t.Context().Err() == nil {
		_, err := s.Append(t.Context(), term, []metastore.AppendPart{journaltest.Part(shard0, "x")})
		if refused = err != nil; refused && !strings.Contains(err.Error(), "synchronous_commit") {
			t.Fatal(err)
		}
		if !refused {
			var now string // a session that was in the pool may not have looked yet
			if err := s.pool.QueryRow(t.Context(), "select current_setting('synchronous_commit')").Scan(&now); err != nil || now == "off" {
				t.Fatalf("an append was taken with synchronous_commit %s, %v", now, err)
			}
		}
	}
	head := journaltest.Head(t, s, shard0)
	for range 5 {
		if _, err := s.Append(t.Context(), term, []metastore.AppendPart{journaltest.Part(shard0, "x")}); err == nil {
			t.Fatal("an append was taken")
		}
	}
	if now := journaltest.Head(t, s, shard0); now != head {
		t.Errorf("%d entries came of appends that were refused", now-head)
	}
	set("alter system reset synchronous_commit", "on")
	if err := again(t, func() error {
		_, err := s.Append(t.Context(), term, []metastore.AppendPart{journaltest.Part(shard0, "2")})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
