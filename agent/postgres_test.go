package agent

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

var postgresServer postgrestest.Server

// TestAgent_TwoAgentsOnPostgres has two agents take records of the same
// partitions at once, and both serve all of them at the same offsets.
func TestAgent_TwoAgentsOnPostgres(t *testing.T) {
	url, bucket := postgresServer.Database(t), "file://"+t.TempDir()
	var agents []*started
	for range 2 {
		agents = append(agents, start(t, func(c *Config) {
			c.Given.Listener, c.Kafka = nil, "127.0.0.1:0"
			c.Bucket, c.Metastore = bucket, url
		}))
	}
	client := func(s *started, opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.KafkaAddr()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	if r, err := kadm.NewClient(client(agents[0])).CreateTopic(t.Context(), 3, 1, nil, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	const each = 300
	var wg sync.WaitGroup
	for i, s := range agents {
		c := client(s)
		wg.Go(func() {
			for n := range each {
				r := &kgo.Record{Topic: "t", Key: fmt.Append(nil, n%10), Value: fmt.Append(nil, i, "/", n)}
				c.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var read [2][]string
	for i, s := range agents {
		c := client(s, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for len(read[i]) < 2*each {
			fs := c.PollFetches(t.Context())
			if err := fs.Err(); err != nil {
				t.Fatal(err)
			}
			fs.EachRecord(func(r *kgo.Record) {
				read[i] = append(read[i], fmt.Sprintf("%d/%05d %s", r.Partition, r.Offset, r.Value))
			})
		}
		slices.Sort(read[i])
	}
	if !slices.Equal(read[0], read[1]) {
		t.Error("the two agents serve different logs")
	}
	seen := map[string]bool{}
	for _, line := range read[0] {
		var place, value string
		fmt.Sscan(line, &place, &value)
		if seen[value] {
			t.Errorf("%s stands twice", value)
		}
		seen[value] = true
	}
	if len(seen) != 2*each {
		t.Errorf("%d values, want %d", len(seen), 2*each)
	}
}
