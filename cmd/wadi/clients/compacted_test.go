package clients

import (
	"fmt"
	"slices"
	"testing"
)

// compacting are the flags under which topics are compacted by key within a second.
func compacting() []string {
	return []string{"--compaction-every", "200ms", "--config", "log.retention.check.interval.ms=200", "--config", "log.cleaner.backoff.ms=100"}
}

// changes are 2,000 updates of 50 keys, at a millisecond each; every ninth deletes its key. Ten keys
// aren't updated after the 500th.
func changes() []record {
	var all []record
	for n := range 2000 {
		k := n % 50
		if k < 10 && n >= 500 {
			k += 10
		}
		r := record{at: int64(n + 1), key: fmt.Appendf(nil, "key %d", k), value: fmt.Appendf(nil, "value %d", n), headers: []header{{"n", fmt.Append(nil, n)}}}
		if n%9 == 0 {
			r.value = nil
		}
		all = append(all, r)
	}
	return all
}

// newest are the last change of each key, in their order.
func newest(all []record) []record {
	last := map[string]int{}
	for i, r := range all {
		last[string(r.key)] = i
	}
	return slices.DeleteFunc(all, func(r record) bool { return last[string(r.key)] != int(r.at)-1 })
}

// compactedTopic makes a topic of changes and waits until only the newest are left. Tombstones stay: nobody
// may miss one within delete.retention.ms.
func compactedTopic(t *testing.T, address, topic, codec string, producer client) {
	t.Helper()
	franz{}.create(t, address, topic, 1, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"})
	producer.produce(t, address, topic, codec, changes())
	eventually(t, topic+" is compacted", func() bool { return len(franz{}.read(t, address, topic, anyTime)) == 50 })
}

// checkCompacted has a reader read what is left, and what is left since a time of which nothing is.
func checkCompacted(t *testing.T, address, topic string, reader client) {
	t.Helper()
	want := newest(changes())
	for _, since := range []int64{anyTime, 1, 700, want[25].at} {
		got, left := reader.read(t, address, topic, since), want
		for len(left) > 0 && left[0].at < since {
			left = left[1:]
		}
		if len(got) != len(left) {
			t.Fatalf("%s since %d: %d records, want %d", topic, since, len(got), len(left))
		}
		for i, r := range got {
			if r.offset != left[i].at-1 {
				t.Fatalf("%s: record %d is at offset %d, was written at %d", topic, i, r.offset, left[i].at-1)
			}
			same(t, r, left[i])
		}
	}
}

// What key compaction leaves of a topic every client reads: the newest of each key, at the offsets that they
// were written at, from the begin and from a time on.
func TestCompacted(t *testing.T) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", compacting()...)
	for i, producer := range allClients() {
		compactedTopic(t, address, "changes-"+producer.name, codecs()[i+1], producer.client)
	}
	for _, producer := range allClients() {
		for _, reader := range allClients() {
			t.Run(producer.name+" to "+reader.name, func(t *testing.T) {
				t.Parallel()
				checkCompacted(t, address, "changes-"+producer.name, reader.client)
			})
		}
	}
}
