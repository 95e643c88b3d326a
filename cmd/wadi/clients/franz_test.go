package clients

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is twmb/franz-go.
type franz struct{}

func (franz) connect(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	at := placeOf(t, address, "franz-go")
	// By default franz-go takes a connection that ends before its first answer for a listener that wants TLS, and
	// gives up. An agent that is killed leaves such too.
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(at.bootstrap), kgo.ClientID(at.clientID), kgo.AllowAutoTopicCreation(), kgo.AlwaysRetryEOF()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dialPause is what patientDial waits between two tries.
const dialPause = 20 * time.Millisecond

// patientDial waits for an agent that is being started. The only one that a client knows refuses it meanwhile; for
// franz-go that is the end of a heartbeat, and its member joins the group anew.
func patientDial(t *testing.T) kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		tick := time.NewTicker(dialPause)
		defer tick.Stop()
		for {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if !errors.Is(err, syscall.ECONNREFUSED) {
				return c, err
			}
			select {
			case <-t.Context().Done(): // The agents are gone, or about to go.
				return nil, err
			case <-ctx.Done():
				return nil, err
			case <-tick.C:
			}
		}
	})
}

// patient is a context that ends when the test's patience does.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func franzCodec(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[name]
}

func (f franz) produce(t *testing.T, address, topic, codec string, records []record) {
	t.Helper()
	c := f.connect(t, address, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(franzCodec(codec)))
	defer c.Close()
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		k := &kgo.Record{Key: r.key, Value: r.value, Timestamp: time.UnixMilli(r.at)}
		for _, h := range r.headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.key, Value: h.value})
		}
		batch[i] = k
	}
	if err := c.ProduceSync(patient(t), batch...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

func (f franz) read(t *testing.T, address, topic string, since int64) []record {
	t.Helper()
	ctx, from := patient(t), kgo.NewOffset().AtStart()
	if since != anyTime {
		from = kgo.NewOffset().AfterMilli(since)
	}
	c := f.connect(t, address)
	defer c.Close()
	admin := kadm.NewClient(c)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if since != anyTime {
		starts, err = admin.ListOffsetsAfterMilli(ctx, since, topic)
	}
	if err != nil || starts.Error() != nil {
		t.Fatal(err, starts.Error())
	}
	places := map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		if begin, ok := starts.Lookup(topic, end.Partition); ok && begin.Offset < end.Offset {
			places[end.Partition] = from
		}
	})
	if len(places) == 0 {
		return nil
	}
	c.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: places})
	var records []record
	for open := len(places); open > 0; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, franzRecord(r))
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset == end.Offset-1 {
				open--
			}
		})
	}
	return records
}

func franzRecord(k *kgo.Record) record {
	r := record{
		partition: k.Partition, offset: k.Offset, at: k.Timestamp.UnixMilli(), key: k.Key, value: k.Value,
		codec: codecs()[k.Attrs.CompressionType()],
	}
	for _, h := range k.Headers {
		r.headers = append(r.headers, header{h.Key, h.Value})
	}
	return r
}

func (f franz) admin(t *testing.T, address string) *kadm.Client {
	c := kadm.NewClient(f.connect(t, address))
	t.Cleanup(c.Close)
	return c
}

func (f franz) create(t *testing.T, address, topic string, partitions int, configs map[string]string) {
	t.Helper()
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = kadm.StringPtr(value)
	}
	if _, err := f.admin(t, address).CreateTopic(patient(t), int32(partitions), 1, values, topic); err != nil {
		t.Fatal(err)
	}
}

func (f franz) list(t *testing.T, address string) []string {
	t.Helper()
	topics, err := f.admin(t, address).ListTopics(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return topics.Names()
}

func (f franz) partitions(t *testing.T, address, topic string) int {
	t.Helper()
	topics, err := f.admin(t, address).ListTopics(patient(t), topic)
	if err != nil || topics.Error() != nil {
		t.Fatal(err, topics.Error())
	}
	return len(topics[topic].Partitions)
}

func (f franz) remove(t *testing.T, address, topic string) {
	t.Helper()
	if _, err := f.admin(t, address).DeleteTopic(patient(t), topic); err != nil {
		t.Fatal(err)
	}
}
