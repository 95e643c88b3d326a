//go:build jvm

package jvm

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestConnect: file source to topic to file sink, over a Wadi that is killed and
// comes back. No line is lost.
func TestConnect(t *testing.T) {
	folder, address, rest := t.TempDir(), freeAddress(t), freeAddress(t)
	broker := wadi(t, filepath.Join(folder, "data"), address)
	in, out := filepath.Join(folder, "in.txt"), filepath.Join(folder, "out.txt")
	write(t, in, "begin\n")
	properties := filepath.Join(folder, "connect.properties")
	write(t, properties, strings.Join([]string{
		"bootstrap.servers=" + address, "group.id=connect",
		"key.converter=org.apache.kafka.connect.storage.StringConverter",
		"value.converter=org.apache.kafka.connect.storage.StringConverter",
		"offset.storage.topic=connect-offsets", "config.storage.topic=connect-configs", "status.storage.topic=connect-status",
		"offset.flush.interval.ms=1000", "listeners=http://" + rest, "plugin.discovery=only_scan",
	}, "\n")+"\n")
	worker := java(t, "connect", "org.apache.kafka.connect.cli.ConnectDistributed", properties)
	put := func(name, config string) {
		eventually(t, "connector "+name, func() bool {
			select {
			case <-worker.ended:
				t.Fatal("Connect ended")
			default:
			}
			request, _ := http.NewRequest(http.MethodPut, "http://"+rest+"/connectors/"+name+"/config", strings.NewReader(config))
			request.Header.Set("Content-Type", "application/json")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode < 300
		})
	}
	put("source", fmt.Sprintf(`{"connector.class":"org.apache.kafka.connect.file.FileStreamSourceConnector","tasks.max":"1","file":%q,"topic":"file-lines"}`, in))
	put("sink", fmt.Sprintf(`{"connector.class":"org.apache.kafka.connect.file.FileStreamSinkConnector","tasks.max":"1","file":%q,"topics":"file-lines"}`, out))
	has := func(line string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(out)
			return bytes.Contains(text, []byte(line+"\n"))
		}
	}
	eventually(t, "the first line", has("begin"))
	broker.kill()
	write(t, in, "while away\n")
	wadi(t, filepath.Join(folder, "data"), address)
	write(t, in, "end\n")
	eventually(t, "the line that was written without Wadi", has("while away"))
	eventually(t, "the last line", has("end"))
}

// TestStreams: a word count, over a Wadi that is killed and comes back. At least
// once: no word is counted less often than it came.
func TestStreams(t *testing.T) {
	folder, address := t.TempDir(), freeAddress(t)
	broker := wadi(t, filepath.Join(folder, "data"), address)
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 2, 1, nil, "lines", "counts"); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("WordCount.java")
	if err != nil {
		t.Fatal(err)
	}
	streams := java(t, "streams", source, address, filepath.Join(folder, "state"))
	produce := func(n int) {
		for i := range n {
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: "lines", Value: fmt.Appendf(nil, "word other%d", i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	counted := 0
	until := func(n int) {
		for counted < n {
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("counted %d of %d", counted, n)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if string(r.Key) == "word" {
					count, _ := strconv.Atoi(string(r.Value))
					counted = max(counted, count)
				}
			})
		}
	}
	produce(20)
	until(20)
	broker.kill()
	wadi(t, filepath.Join(folder, "data"), address)
	produce(20)
	until(40)
	select {
	case <-streams.ended:
		t.Fatal("Streams ended")
	default:
	}
}

// write appends to a file.
func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
