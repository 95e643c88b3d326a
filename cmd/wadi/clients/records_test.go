package clients

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// incompressible bytes of a size, the same in every run.
func incompressible(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte("incompressible"))).Read(b)
	return b
}

// oddRecords are what data sets seldom have. All have another value or key.
func oddRecords() []record {
	return []record{
		{at: 1, key: []byte("headers"), value: []byte("v"), headers: []header{{"a", []byte("1")}, {"a", []byte("2")}, {"ü", []byte{0, 255}}}},
		{at: 2, key: nil, value: []byte("null key")},
		{at: 3, key: []byte("null value"), value: nil},
		{at: 4, key: nil, value: nil},
		{at: 5, key: []byte("long"), value: incompressible(900 << 10)},
		{at: 6, key: []byte(strings.Repeat("k", 10_000)), value: []byte("long key")},
		{at: 7, key: []byte("empty value"), value: []byte{}},
		{at: 8, key: []byte{}, value: []byte("empty key")},
		{at: 9, key: []byte("empty header"), value: []byte("v"), headers: []header{{"h", []byte{}}, {"", []byte("v")}}},
		{at: 10, key: []byte("null header"), value: []byte("v"), headers: []header{{"h", nil}}},
	}
}

// Every kind of record goes in by each client and comes out the same by each,
// also after kill -9.
func TestRecords(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	p, _ := startDev(t, dir, address)
	produceOdd(t, address)
	p.kill()
	startDev(t, dir, address)
	readOdd(t, address)
}

// produceOdd lets each client produce in every codec.
func produceOdd(t *testing.T, address string) {
	for _, producer := range allClients() {
		for _, codec := range codecs() {
			topic := "odd-" + producer.name + "-" + codec
			producer.create(t, address, topic, 1, nil)
			producer.produce(t, address, topic, codec, oddRecords())
		}
	}
}

// readOdd lets each client read what produceOdd left.
func readOdd(t *testing.T, address string) {
	for _, producer := range allClients() {
		for _, reader := range allClients() {
			t.Run(producer.name+" to "+reader.name, func(t *testing.T) {
				t.Parallel()
				for _, codec := range codecs() {
					records := reader.read(t, address, "odd-"+producer.name+"-"+codec, anyTime)
					checkOffsets(t, records, true)
					want := oddRecords()
					if len(records) != len(want) {
						t.Fatalf("%s: %d records, want %d", codec, len(records), len(want))
					}
					for i, r := range records {
						if reader.emptyIsNull {
							r, want[i] = r.withoutEmpty(), want[i].withoutEmpty()
						}
						same(t, r, want[i])
					}
				}
			})
		}
	}
}

// Each client's round trip of keyed records over several partitions, read by all.
func TestRoundTrip(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkRoundTrip(t, address)
}

func checkRoundTrip(t *testing.T, address string) {
	f := loadFlights(t)
	middle := f.rows[flightsRows/2].at
	for i, producer := range allClients() {
		topic := "flights-" + producer.name
		producer.create(t, address, topic, flightsPartitions, nil)
		producer.produce(t, address, topic, codecs()[i+1], f.rows)
		for _, reader := range allClients() {
			t.Run(producer.name+" to "+reader.name, func(t *testing.T) {
				t.Parallel()
				f.check(t, reader.read(t, address, topic, anyTime), 0)
				f.check(t, reader.read(t, address, topic, middle), f.since(middle))
			})
		}
	}
}

// Each client manages topics, and each sees what another did: at once at the same agent,
// soon at another.
func TestTopics(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0")
	checkTopics(t, address)
}

func checkTopics(t *testing.T, address string) {
	for i, maker := range allClients() {
		topic := "made-by-" + maker.name
		maker.create(t, address, topic, i+2, map[string]string{"retention.ms": "-1"})
		for _, c := range allClients() {
			listed := func() bool { return slices.Contains(c.list(t, address), topic) }
			if brokersAt(address) > 1 {
				eventually(t, c.name+" lists "+topic, listed)
			} else if !listed() {
				t.Errorf("%s doesn't list %s", c.name, topic)
			}
			if got := c.partitions(t, address, topic); got != i+2 {
				t.Errorf("%s: %d partitions of %s", c.name, got, topic)
			}
		}
		maker.remove(t, address, topic)
		for _, c := range allClients() {
			gone := func() bool { return !slices.Contains(c.list(t, address), topic) }
			if brokersAt(address) > 1 {
				eventually(t, c.name+" no longer lists "+topic, gone)
			} else if !gone() {
				t.Errorf("%s lists %s, which was deleted", c.name, topic)
			}
		}
	}
}

// A client that asks for nothing else gets a topic made by its first record.
func TestTopics_MadeByTheFirstRecord(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", "--config", "num.partitions=3")
	for _, c := range mainClients() {
		topic := "auto-" + c.name
		want := oddRecords()[:2]
		c.produce(t, address, topic, "none", want)
		if got := c.partitions(t, address, topic); got != 3 {
			t.Errorf("%s: %d partitions", c.name, got)
		}
		if got := c.read(t, address, topic, anyTime); len(got) != len(want) {
			t.Errorf("%s: %d records, want %d", c.name, len(got), len(want))
		}
	}
}
