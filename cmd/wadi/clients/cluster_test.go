//go:build cluster

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// The matrix once more, with clients of three zones at a cluster of three agents on
// Postgres and a bucket.

// bucketVariable names the kind of bucket: moto, minio, gcs or folder.
const bucketVariable = "WADI_TEST_BUCKET"

// clusterStartMax bounds the start of a cluster: its servers may have to be fetched first.
const clusterStartMax = 5 * time.Minute

// clusterAgent is one of a cluster, as ./bench/cluster/up tells it.
type clusterAgent struct{ Name, Zone, Kafka, HTTP, Log string }

// startCluster starts a cluster that ends with the test.
func startCluster(t *testing.T, more ...string) (all []clusterAgent, address string) {
	t.Helper()
	kind := os.Getenv(bucketVariable)
	if kind == "" {
		t.Fatalf("%s is not set: run make clients-cluster", bucketVariable)
	}
	up := filepath.Join(filepath.Dir(os.Getenv(binaryVariable)), "up")
	build := exec.Command("go", "build", "-o", up, "./bench/cluster/up")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build up: %v\n%s", err, out)
	}
	cmd := exec.Command(up, append([]string{
		"-json", "-wadi", os.Getenv(binaryVariable), "-bucket", kind, "-kafka", "0", "-http", "0", "--"}, more...)...)
	log := &lockedBuffer{}
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, a := range all {
			checkLog(t, a)
		}
		in.Close() // It ends all that it started, then itself.
		if err := cmd.Wait(); err != nil {
			t.Errorf("the cluster: %v\n%s", err, log)
		}
	})
	line := make(chan []byte, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadBytes('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatalf("the cluster is not up: %v\n%s", err, log)
		}
	case <-time.After(clusterStartMax):
		t.Fatal("the cluster is not up")
	}
	var places []string
	for _, a := range all {
		places = append(places, a.Kafka+"="+a.Zone)
	}
	return all, strings.Join(places, ",")
}

// checkLog fails the test if an agent tells of a bug, and shows its log if it has failed.
func checkLog(t *testing.T, a clusterAgent) {
	log, err := os.ReadFile(a.Log)
	if err != nil {
		t.Error(err)
	}
	for _, bug := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", `"level":"ERROR"`} {
		if strings.Contains(string(log), bug) {
			t.Errorf("the log of %s has %q", a.Name, bug)
		}
	}
	if t.Failed() {
		t.Logf("%s in zone %s, %s:\n%s", a.Name, a.Zone, a.Kafka, tail(string(log), 8000))
	}
}

func TestCluster_Records(t *testing.T) {
	_, address := startCluster(t)
	produceOdd(t, address)
	readOdd(t, address)
}

func TestCluster_RoundTrip(t *testing.T) {
	_, address := startCluster(t)
	checkRoundTrip(t, address)
}

func TestCluster_TopicsAndTour(t *testing.T) {
	_, address := startCluster(t)
	t.Run("topics", func(t *testing.T) { checkTopics(t, address) })
	t.Run("tour", func(t *testing.T) { checkTour(t, address) })
}

func TestCluster_Groups(t *testing.T) {
	_, address := startCluster(t, groupConfigs()...)
	_, patientAddress := startCluster(t, patientConfigs()...)
	checkGroupsAt(t, address, patientAddress, append(goMembers(t), consumerMembers(t)...))
}

func TestCluster_Upgrade(t *testing.T) {
	_, address := startCluster(t, groupConfigs()...)
	checkUpgrades(t, address)
}

// A librdkafka consumer that says its rack, and no zone, reads from the agent of its zone.
func TestCluster_Rack(t *testing.T) {
	agents, address := startCluster(t)
	topic := produceFlights(t, address)
	f := loadFlights(t)
	for _, a := range agents {
		checkRack(t, agents, a.Zone, func(bootstrap string) {
			l := librdkafka{}
			c := l.consumer(t, bootstrap, kafka.ConfigMap{"client.rack": a.Zone, "client.id": "rack only"})
			defer c.Close()
			var list []kafka.TopicPartition
			for i := range int32(flightsPartitions) {
				list = append(list, kafka.TopicPartition{Topic: &topic, Partition: i, Offset: 0})
			}
			if err := c.Assign(list); err != nil {
				t.Fatal(err)
			}
			var records []record
			for deadline := time.Now().Add(patience); len(records) < flightsRows; {
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d records within %v", len(records), flightsRows, patience)
				}
				if m, ok := c.Poll(100).(*kafka.Message); ok && m.TopicPartition.Error == nil {
					r := record{partition: m.TopicPartition.Partition, offset: int64(m.TopicPartition.Offset), at: m.Timestamp.UnixMilli(), key: m.Key, value: m.Value}
					for _, h := range m.Headers {
						r.headers = append(r.headers, header{h.Key, h.Value})
					}
					records = append(records, r)
				}
			}
			f.check(t, records, 0)
		})
	}
}

// produceFlights makes a topic of a data set.
func produceFlights(t *testing.T, address string) (topic string) {
	t.Helper()
	topic = "flights"
	franz{}.create(t, address, topic, flightsPartitions, nil)
	franz{}.produce(t, address, topic, "none", loadFlights(t).rows)
	return topic
}

// checkRack reads, starting at each agent, and checks by the agents' own counters that
// all records came from the zone and none from another.
func checkRack(t *testing.T, agents []clusterAgent, zone string, read func(bootstrap string)) {
	t.Helper()
	for _, first := range agents {
		before := map[string]float64{}
		for _, a := range agents {
			before[a.Name] = counter(t, a, "wadi_fetched_bytes_total")
		}
		read(first.Kafka)
		told := ""
		for _, a := range agents {
			fetched := counter(t, a, "wadi_fetched_bytes_total") - before[a.Name]
			told += fmt.Sprintf(", %.0f bytes from zone %s", fetched, a.Zone)
			if (fetched > 0) != (a.Zone == zone) {
				t.Errorf("rack %s: %.0f bytes were fetched from zone %s", zone, fetched, a.Zone)
			}
		}
		t.Logf("rack %s, bootstrapped in zone %s%s", zone, first.Zone, told)
	}
}

// counter is a counter without labels of an agent.
func counter(t *testing.T, a clusterAgent, name string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + a.HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /metrics of %s", name, a.Name)
	return 0
}
