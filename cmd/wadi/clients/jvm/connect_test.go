//go:build jvm

package jvm

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/cmd/wadi/clients/fleet"
)

// files are what the source connector reads, each into a topic of its own.
const files = 2

// TestConnect_ExactlyOnce: two workers with exactly-once sources and the agents are killed at
// random. Each line of the files is in its topic once, in the file's order.
func TestConnect_ExactlyOnce(t *testing.T) {
	x := startTroubled(t)
	var topics []string
	for i := range files {
		topics = append(topics, fmt.Sprintf("file-%d", i))
		write(t, filepath.Join(x.folder, topics[i]), "0\n")
	}
	x.create(1, topics...)
	var rests []string
	var workers []fleet.Victim
	for i := range 2 {
		rests = append(rests, freeAddress(t))
		properties := filepath.Join(x.folder, fmt.Sprintf("worker-%d.properties", i))
		write(t, properties, strings.Join([]string{
			"bootstrap.servers=" + x.address, "group.id=connect",
			"key.converter=org.apache.kafka.connect.storage.StringConverter",
			"value.converter=org.apache.kafka.connect.storage.StringConverter",
			"offset.storage.topic=connect-offsets", "config.storage.topic=connect-configs", "status.storage.topic=connect-status",
			"exactly.once.source.support=enabled", "scheduled.rebalance.max.delay.ms=0",
			"session.timeout.ms=6000", "heartbeat.interval.ms=1000", "transaction.timeout.ms=10000",
			"listeners=http://" + rests[i], "plugin.discovery=only_scan",
		}, "\n")+"\n")
		workers = append(workers, victim(t, fmt.Sprintf("worker-%d", i), func() []string {
			return []string{"org.apache.kafka.connect.cli.ConnectDistributed", properties}
		}))
	}
	var read struct {
		sync.Mutex
		next map[string]int
	}
	read.next = map[string]int{}
	x.committed(func(r *kgo.Record) {
		read.Lock()
		defer read.Unlock()
		if want := strconv.Itoa(read.next[r.Topic]); string(r.Value) != want {
			t.Errorf("%s, offset %d: read %s, not %s", r.Topic, r.Offset, r.Value, want)
			read.next[r.Topic], _ = strconv.Atoi(string(r.Value))
		}
		read.next[r.Topic]++
	}, topics...)
	lines := 1
	settle := func() {
		t.Helper()
		eventually(t, "all lines are in their topics", func() bool {
			read.Lock()
			defer read.Unlock()
			for _, topic := range topics {
				if read.next[topic] < lines {
					return false
				}
			}
			return true
		})
	}
	for _, name := range topics {
		config := fmt.Sprintf(`{"connector.class":"org.apache.kafka.connect.file.FileStreamSourceConnector","tasks.max":"1","file":%q,"topic":%q,"exactly.once.support":"required"}`,
			filepath.Join(x.folder, name), name)
		eventually(t, "connector "+name, func() bool {
			request, _ := http.NewRequest(http.MethodPut, "http://"+rests[0]+"/connectors/"+name+"/config", strings.NewReader(config))
			request.Header.Set("Content-Type", "application/json")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode < 300
		})
	}
	settle()
	load := func() {
		for _, name := range topics {
			write(t, filepath.Join(x.folder, name), strconv.Itoa(lines)+"\n")
		}
		lines++
	}
	x.trouble(load, workers...)
	settle()
	load() // behind whatever would be there twice
	settle()
	t.Logf("%d lines of each file", lines)
}
