//go:build jvm

package jvm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// compacting are the flags under which topics are compacted by key within a second.
func compacting() []string {
	return []string{
		"--compaction-every", "200ms", "--config", "log.retention.check.interval.ms=200", "--config", "log.cleaner.backoff.ms=100",
		"--config", "log.cleaner.min.cleanable.ratio=0.01",
	}
}

// left returns what a reader finds in a topic, and how many offsets it has.
func left(t *testing.T, address, topic string) (records []*kgo.Record, offsets int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	ahead := map[int32]int64{} // the ends of partitions that were not read to them
	ends.Each(func(o kadm.ListedOffset) {
		if offsets += o.Offset; o.Offset > 0 {
			ahead[o.Partition] = o.Offset
		}
	})
	for len(ahead) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s has not been read up to %v", topic, ahead)
		}
		// The newest record of a partition stays, whatever its key.
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if r.Offset+1 >= ahead[r.Partition] {
				delete(ahead, r.Partition)
			}
		})
	}
	return records, offsets
}

// compactedByKey waits until records of a topic have gone.
func compactedByKey(t *testing.T, address, topic string) {
	t.Helper()
	eventually(t, topic+" has been compacted", func() bool {
		records, offsets := left(t, address, topic)
		return int64(len(records)) < offsets
	})
}

// TestStreams_RestoresCompacted: a word count that has lost its disk restores its table from a changelog that was
// compacted by key, and counts on from exactly where it was.
func TestStreams_RestoresCompacted(t *testing.T) {
	folder, address := t.TempDir(), freeAddress(t)
	wadi(t, filepath.Join(folder, "data"), address, compacting()...)
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopics(ctx, 1, 1, nil, "lines", "counts"); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("WordCount.java")
	if err != nil {
		t.Fatal(err)
	}
	const words = 20 // beside the one of every line
	lines := 0
	counted, want := map[string]int{}, map[string]int{}
	produce := func(n int) {
		for range n {
			line := fmt.Sprintf("word other%d", lines%words)
			for _, word := range strings.Fields(line) {
				want[word]++
			}
			lines++
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "lines", Value: []byte(line)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for !maps.Equal(counted, want) {
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("counted %v of %v", counted, want)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				count, _ := strconv.Atoi(string(r.Value))
				if was := counted[string(r.Key)]; count != was+1 {
					t.Fatalf("%s was counted %d times, then %d", r.Key, was, count)
				}
				counted[string(r.Key)] = count
			})
		}
	}
	streams := java(t, "streams", source, address, filepath.Join(folder, "state"))
	produce(200)
	changelog := ""
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range topics.Names() {
		if strings.HasSuffix(name, "-changelog") {
			changelog = name
		}
	}
	compactedByKey(t, address, changelog)
	// What it has committed it doesn't count again.
	eventually(t, "all lines are committed", func() bool {
		committed, err := admin.FetchOffsets(ctx, "word-count")
		if err != nil {
			return false
		}
		o, ok := committed.Lookup("lines", 0)
		return ok && o.At == int64(lines)
	})
	streams.kill()
	if err := os.RemoveAll(filepath.Join(folder, "state")); err != nil {
		t.Fatal(err)
	}
	java(t, "streams, again", source, address, filepath.Join(folder, "state"))
	produce(3 * words)
	compactedByKey(t, address, changelog)
}

// TestConnect_Compacted: a worker that comes to three internal topics which were compacted by key has the connector with
// the config it had last, and goes on in its file where it was.
func TestConnect_Compacted(t *testing.T) {
	folder, address, rest := t.TempDir(), freeAddress(t), freeAddress(t)
	wadi(t, filepath.Join(folder, "data"), address, compacting()...)
	in := filepath.Join(folder, "in.txt")
	properties := filepath.Join(folder, "connect.properties")
	write(t, properties, strings.Join([]string{
		"bootstrap.servers=" + address, "group.id=connect",
		"key.converter=org.apache.kafka.connect.storage.StringConverter",
		"value.converter=org.apache.kafka.connect.storage.StringConverter",
		"offset.storage.topic=connect-offsets", "config.storage.topic=connect-configs", "status.storage.topic=connect-status",
		"offset.storage.partitions=1", "status.storage.partitions=1",
		"offset.flush.interval.ms=200", "listeners=http://" + rest, "plugin.discovery=only_scan",
	}, "\n")+"\n")
	config := func(batch int) string {
		return fmt.Sprintf(`{"connector.class":"org.apache.kafka.connect.file.FileStreamSourceConnector","tasks.max":"1","file":%q,"topic":"file-lines","batch.size":"%d"}`, in, batch)
	}
	put := func(batch int) {
		eventually(t, "the connector's config", func() bool {
			request, _ := http.NewRequest(http.MethodPut, "http://"+rest+"/connectors/source/config", strings.NewReader(config(batch)))
			request.Header.Set("Content-Type", "application/json")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode < 300
		})
	}
	lines := 0
	arrive := func() {
		write(t, in, fmt.Sprintf("line %d\n", lines))
		lines++
		eventually(t, fmt.Sprintf("line %d", lines-1), func() bool {
			got, _ := left(t, address, "file-lines")
			for i, r := range got {
				if string(r.Value) != fmt.Sprintf("line %d", i) {
					t.Fatalf("line %d is %q", i, r.Value)
				}
			}
			return len(got) == lines
		})
	}
	worker := java(t, "connect", "org.apache.kafka.connect.cli.ConnectDistributed", properties)
	last := 0
	for last < 8 {
		last++
		put(last)
		arrive()
	}
	for _, topic := range []string{"connect-configs", "connect-offsets", "connect-status"} {
		compactedByKey(t, address, topic)
	}
	position := int64(0)
	if info, err := os.Stat(in); err == nil {
		position = info.Size()
	}
	eventually(t, "the position in the file is committed", func() bool {
		got, _ := left(t, address, "connect-offsets")
		return len(got) > 0 && strings.Contains(string(got[len(got)-1].Value), fmt.Sprintf(":%d}", position))
	})
	worker.kill()
	java(t, "connect, again", "org.apache.kafka.connect.cli.ConnectDistributed", properties)
	eventually(t, "the connector's last config", func() bool {
		response, err := http.Get("http://" + rest + "/connectors/source/config")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return false
		}
		var got map[string]string
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got["batch.size"] != strconv.Itoa(last) {
			t.Fatalf("the connector has the config %s", body)
		}
		return true
	})
	arrive()
	arrive()
}
