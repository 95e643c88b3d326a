//go:build languages

package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// cacheVariable names the folder that `make test-clients` fetches the clients of
// other languages into.
const cacheVariable = "WADI_TEST_CLIENTS"

// language is a client of another language, and what it can't do.
type language struct {
	foreign
	static   bool              // it has static members
	consumer bool              // it has KIP-848's protocol
	rack     bool              // its program takes a rack to read from
	refuses  func(record) bool // what its producer doesn't take
}

func languages(t *testing.T) []language {
	t.Helper()
	cache := os.Getenv(cacheVariable)
	if cache == "" {
		t.Fatalf("%s is not set: run make test-clients", cacheVariable)
	}
	java := func(version string) foreign {
		out := filepath.Join(cache, "java-"+version)
		classes := filepath.Join(out, "classes") + ":" + filepath.Join(out, "lib") + "/*"
		return foreign{"java-" + version, []string{
			"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
			"-cp", classes, "io.wadi.clients.Program",
		}}
	}
	nothing := func(record) bool { return false }
	nullHeader := func(r record) bool {
		return slices.ContainsFunc(r.headers, func(h header) bool { return h.value == nil })
	}
	nullKeyAndValue := func(r record) bool { return r.key == nil && r.value == nil }
	python, err := filepath.Abs(filepath.Join("python", "program.py"))
	if err != nil {
		t.Fatal(err)
	}
	return []language{
		{foreign: java("4.2.0"), static: true, rack: true, consumer: true, refuses: nothing},
		{foreign: java("3.7.2"), static: true, rack: true, refuses: nothing}, // reads features by ApiVersions 3
		{foreign: java("2.8.2"), static: true, rack: true, refuses: nothing},
		{foreign: foreign{"kafkajs", []string{"node", filepath.Join(cache, "node", "program.js")}}, refuses: nullHeader},
		{foreign: foreign{"aiokafka", []string{filepath.Join(cache, "python", "bin", "python"), python}}, static: true, refuses: nullKeyAndValue},
	}
}

// Each language's client writes what franz-go and itself read, and reads what
// franz-go wrote, in every codec.
func TestLanguages_Records(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkLanguagesRecords(t, address)
}

func checkLanguagesRecords(t *testing.T, address string) {
	for _, codec := range codecs() {
		franz{}.create(t, address, "franz-"+codec, 1, nil)
		franz{}.produce(t, address, "franz-"+codec, codec, oddRecords())
	}
	for _, l := range languages(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, l.name, l.command, address)
			mine := slices.DeleteFunc(oddRecords(), l.refuses)
			for _, codec := range codecs() {
				topic := fmt.Sprintf("%s-%s", l.name, codec)
				p.ask(map[string]any{"do": "create", "topic": topic, "partitions": 1, "configs": map[string]string{"retention.ms": "-1"}})
				p.ask(map[string]any{"do": "produce", "topic": topic, "codec": codec, "records": toWire(mine)})
				checkOdd(t, franz{}.read(t, address, topic, anyTime), mine)
				read := func(topic string) []record {
					return fromWire(t, p.ask(map[string]any{"do": "read", "topic": topic, "since": anyTime}).Records)
				}
				checkOdd(t, read(topic), mine)
				checkOdd(t, read("franz-"+codec), oddRecords())
			}
			since := p.ask(map[string]any{"do": "read", "topic": "franz-lz4", "since": 4}).Records
			checkOdd(t, fromWire(t, since), oddRecords()[3:])
		})
	}
}

func checkOdd(t *testing.T, got, want []record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	checkOffsets(t, got, false)
	for i, r := range got {
		same(t, r, want[i])
	}
}

// Keyed records over several partitions, read by the client itself and franz-go,
// all of them and since a time.
func TestLanguages_RoundTrip(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkLanguagesRoundTrip(t, address)
}

func checkLanguagesRoundTrip(t *testing.T, address string) {
	f := loadFlights(t)
	middle := f.rows[flightsRows/2].at
	for i, l := range languages(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			topic := "flights-" + l.name
			l.create(t, address, topic, flightsPartitions, nil)
			if got := l.partitions(t, address, topic); got != flightsPartitions {
				t.Errorf("%d partitions", got)
			}
			l.produce(t, address, topic, codecs()[1+i%(len(codecs())-1)], f.rows)
			for _, reader := range []client{l.foreign, franz{}} {
				f.check(t, reader.read(t, address, topic, anyTime), 0)
				f.check(t, reader.read(t, address, topic, middle), f.since(middle))
			}
			if !slices.Contains(l.list(t, address), topic) {
				t.Errorf("%s is not in the list", topic)
			}
			l.remove(t, address, topic)
			if slices.Contains(franz{}.list(t, address), topic) {
				t.Errorf("%s is in the list, though removed", topic)
			}
		})
	}
}

// Each language's client reads what key compaction left.
func TestLanguages_Compacted(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", compacting()...)
	compactedTopic(t, address, "changes", "lz4", franz{})
	for _, l := range languages(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			checkCompacted(t, address, "changes", l.foreign)
		})
	}
}

// Each language's client as members of groups.
func TestLanguages_Groups(t *testing.T) { checkGroups(t, languageMembers(t)) }

// languageMembers are the clients as members of groups, of the classic protocol.
func languageMembers(t *testing.T) []groupClient {
	var all []groupClient
	for _, l := range languages(t) {
		all = append(all, groupClient{l.name, l.command, "classic", l.static})
	}
	return all
}

// Each language's admin client does what it can, and finds what it did.
func TestLanguages_Tour(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkLanguagesTour(t, address)
}

func checkLanguagesTour(t *testing.T, address string) {
	for _, l := range languages(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			topic, group := "tour-"+l.name, "toured-"+l.name
			idleGroup(t, address, group)
			steps := l.once(t, address, map[string]any{"do": "tour", "topic": topic, "group": group, "brokers": brokersAt(address)}).Steps
			t.Logf("%d calls: %v", len(steps), steps)
			if slices.Contains(franz{}.list(t, address), topic) {
				t.Errorf("%s is still there", topic)
			}
		})
	}
}
