//go:build s3 || buckets

package agent

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// TestAgent_OnS3AndPostgres keeps records in an S3 server and their order in
// Postgres; another agent, with nothing of its own, serves them.
func TestAgent_OnS3AndPostgres(t *testing.T) {
	bucket, url := buckettest.Moto(t).Bucket(t), postgresServer.Database(t)
	on := func(c *Config) {
		c.Given.Listener, c.Kafka, c.Bucket, c.Metastore = nil, "127.0.0.1:0", bucket, url
	}
	const n = 200
	first := start(t, on)
	c, err := kgo.NewClient(kgo.SeedBrokers(first.KafkaAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, err := kadm.NewClient(c).CreateTopic(t.Context(), 3, 1, nil, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for i := range n {
		c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, on)
	r, err := kgo.NewClient(kgo.SeedBrokers(second.KafkaAddr()), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[string]bool{}
	for len(seen) < n {
		fs := r.PollFetches(t.Context())
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)] {
				t.Errorf("%s was read twice", r.Value)
			}
			seen[string(r.Value)] = true
		})
	}
	if gets := second.cost().gets; gets == 0 {
		t.Error("the second agent read nothing from the bucket")
	}
}
