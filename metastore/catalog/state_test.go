package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func kit() machinetest.Kit[*State] { return machinetest.Kit[*State]{New: New, Describe: Describe} }

func entry(number uint64, effects ...[]byte) []byte {
	h := metastore.Header{Term: 1, Number: number, Time: 1_700_000_000_000}
	return append(metastore.AppendHeader(nil, h), bytes.Join(effects, nil)...)
}

func topic(number uint64, name string, partitions int32) *Topic {
	return &Topic{
		Number: number, ID: [16]byte{byte(number), 15: 0xff}, Name: name, Partitions: partitions,
		FirstShard: int32(number * 7 % 64), CreatedAt: 1_700_000_000_000 + int64(number),
	}
}

func goldenEntries() [][]byte {
	configured := topic(2, "orders", 12)
	configured.Configs = map[string]string{"retention.ms": "604800000", "cleanup.policy": "compact", "empty": ""}
	return [][]byte{
		entry(1, AppendTopicCreated(nil, topic(1, "clicks", 1)), AppendTopicCreated(nil, configured)),
		entry(2, AppendProducerIDs(nil, 1000)),
		entry(3, AppendProducerIDs(nil, 1)),
		entry(4, AppendTopicCreated(nil, topic(3, strings.Repeat("n", NameBytesMax), 300))),
		entry(5, AppendTopicConfig(nil, 1, map[string]string{"retention.bytes": "-1"}), AppendTopicConfig(nil, 2, nil), AppendPartitionsAdded(nil, 2, 13)),
		entry(6, AppendTopicDeleted(nil, 3), AppendTopicCreated(nil, topic(4, "a name again", 2))),
	}
}

func apply(t testing.TB, s *State, effect []byte) (any, error) {
	t.Helper()
	_, effects, err := metastore.ParseEntry(entry(1, effect))
	if err != nil {
		t.Fatal(err)
	}
	kind, body, _, err := effects.Next()
	if err != nil {
		t.Fatal(err)
	}
	return s.Apply(metastore.At{}, kind, body, true)
}

// goldenGroupEntries follow on goldenEntries.
func goldenGroupEntries() [][]byte {
	return [][]byte{
		entry(7, AppendGroupConfig(nil, "readers", map[string]string{"consumer.session.timeout.ms": "50000", "a": ""}),
			AppendGroupConfig(nil, "gone", map[string]string{"b": "1"})),
		entry(8, AppendGroupConfig(nil, "gone", nil), AppendGroupConfig(nil, "never", nil), AppendTopicDeleted(nil, 4),
			AppendGroupConfig(nil, "\u00e4ndere", map[string]string{"consumer.heartbeat.interval.ms": "6000"})),
	}
}

// goldenLevelEntries follow on goldenGroupEntries.
func goldenLevelEntries() [][]byte {
	return [][]byte{entry(9, AppendFeatureLevel(nil, 2)), entry(10, AppendFeatureLevel(nil, 2), AppendGroupConfig(nil, "readers", nil))}
}

func TestGolden(t *testing.T) {
	kit().Golden(t, "entries.txt", "snapshot.txt", goldenEntries())
	kit().Golden(t, "groups-entries.txt", "groups-snapshot.txt", slices.Concat(goldenEntries(), goldenGroupEntries()))
	kit().Golden(t, "level-entries.txt", "level-snapshot.txt", slices.Concat(goldenEntries(), goldenGroupEntries(), goldenLevelEntries()))
}

// TestApply_WhatDoesNotFit: the catalog is written strictly, so this is a bug of its writer.
func TestApply_WhatDoesNotFit(t *testing.T) {
	sameID := topic(3, "new", 1)
	sameID.ID = topic(1, "", 1).ID
	for name, effect := range map[string][]byte{
		"a name twice":                     AppendTopicCreated(nil, topic(3, "clicks", 1)),
		"an id twice":                      AppendTopicCreated(nil, sameID),
		"a number twice":                   AppendTopicCreated(nil, topic(2, "new", 1)),
		"a number too high":                AppendTopicCreated(nil, topic(4, "new", 1)),
		"too many partitions":              AppendTopicCreated(nil, topic(3, "new", PartitionsMax)),
		"deletion of none":                 AppendTopicDeleted(nil, 3),
		"configs of none":                  AppendTopicConfig(nil, 3, nil),
		"partitions of none":               AppendPartitionsAdded(nil, 3, 2),
		"as many partitions":               AppendPartitionsAdded(nil, 1, 4),
		"fewer partitions":                 AppendPartitionsAdded(nil, 1, 3),
		"many more partitions":             AppendPartitionsAdded(nil, 1, PartitionsMax),
		"all producer ids":                 AppendProducerIDs(nil, math.MaxInt64),
		"a shard's effect":                 metastore.AppendEffect(nil, metastore.EffectFlush, []byte{1, 0}),
		"the first level":                  metastore.AppendEffect(nil, metastore.EffectFeatureLevel, []byte{1}),
		"bytes left":                       metastore.AppendEffect(nil, metastore.EffectTopicDeleted, []byte{1, 0}),
		"configs out of order":             metastore.AppendEffect(nil, metastore.EffectTopicConfig, []byte{1, 2, 1, 'b', 0, 1, 'a', 0}),
		"a config twice":                   metastore.AppendEffect(nil, metastore.EffectTopicConfig, []byte{1, 2, 1, 'b', 0, 1, 'b', 0}),
		"configs of a group without an id": metastore.AppendEffect(nil, metastore.EffectGroupConfig, []byte{0, 0}),
		"a group's configs out of order":   metastore.AppendEffect(nil, metastore.EffectGroupConfig, []byte{1, 'g', 2, 1, 'b', 0, 1, 'a', 0}),
		"no producer ids":                  metastore.AppendEffect(nil, metastore.EffectProducerIDs, []byte{0}),
		"no partitions":                    metastore.AppendEffect(nil, metastore.EffectPartitionsAdded, []byte{1, 0}),
		"more configs than may be":         metastore.AppendEffect(nil, metastore.EffectTopicConfig, append([]byte{1, 0x81, 0x08}, make([]byte, 5000)...)),
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			for _, before := range []*Topic{topic(1, "clicks", 4), topic(2, "orders", 1)} {
				if _, err := apply(t, s, AppendTopicCreated(nil, before)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := apply(t, s, effect); err == nil {
				t.Error("folded")
			}
		})
	}
}

func TestAppend_PanicsOnWhatWouldStopTheJournal(t *testing.T) {
	many := map[string]string{}
	for i := range ConfigsMax + 1 {
		many[fmt.Sprint(i)] = ""
	}
	configured := topic(1, "a", 1)
	configured.Configs = many
	shard := topic(1, "a", 1)
	shard.FirstShard = -1
	for name, f := range map[string]func(){
		"no name":         func() { AppendTopicCreated(nil, topic(1, "", 1)) },
		"a long name":     func() { AppendTopicCreated(nil, topic(1, strings.Repeat("n", NameBytesMax+1), 1)) },
		"no partitions":   func() { AppendTopicCreated(nil, topic(1, "a", 0)) },
		"partitions":      func() { AppendTopicCreated(nil, topic(1, "a", PartitionsMax+1)) },
		"shard":           func() { AppendTopicCreated(nil, shard) },
		"configs":         func() { AppendTopicCreated(nil, configured) },
		"new configs":     func() { AppendTopicConfig(nil, 1, many) },
		"new partitions":  func() { AppendPartitionsAdded(nil, 1, PartitionsMax+1) },
		"no producer ids": func() { AppendProducerIDs(nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("encoded")
				}
			}()
			f()
		})
	}
}

// TestTopic_Immutable: what a reader got stays as it was.
func TestTopic_Immutable(t *testing.T) {
	s := New()
	for _, effect := range [][]byte{AppendTopicCreated(nil, topic(1, "b", 4)), AppendTopicCreated(nil, topic(2, "a", 1))} {
		if _, err := apply(t, s, effect); err != nil {
			t.Fatal(err)
		}
	}
	before, list := s.Topic("b"), s.Topics()
	for _, effect := range [][]byte{
		AppendTopicConfig(nil, 1, map[string]string{"x": "1"}), AppendPartitionsAdded(nil, 1, 9), AppendTopicDeleted(nil, 2),
	} {
		if _, err := apply(t, s, effect); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(before, topic(1, "b", 4)) || len(list) != 2 || list[0].Name != "a" || list[1] != before {
		t.Errorf("%+v, %v", before, list)
	}
	after := s.Topic("b")
	if after.Partitions != 9 || after.Configs["x"] != "1" || s.ByID(after.ID) != after || s.ByNumber(1) != after || !slices.Equal(s.Topics(), []*Topic{after}) {
		t.Errorf("%+v", after)
	}
	if topics, partitions := s.Counts(); topics != 1 || partitions != 9 {
		t.Errorf("%d topics, %d partitions", topics, partitions)
	}
	if s.Topic("a") != nil || s.ByNumber(2) != nil || s.ByID(topic(2, "", 1).ID) != nil {
		t.Error("a deleted topic is found")
	}
}

func TestTopic_Shard(t *testing.T) {
	top := &Topic{FirstShard: math.MaxInt32}
	for p, want := range map[int32]int{0: 63, 1: 0, 64: 63, math.MaxInt32: 62} {
		if got := top.Shard(p, 64); got != want {
			t.Errorf("partition %d is in shard %d, want %d", p, got, want)
		}
	}
}

// TestFold_AsTheModel makes random changes, and compares with plain lists.
func TestFold_AsTheModel(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var model []Topic
		nextTopic, nextProducer := uint64(1), int64(1)
		s := New()
		for range 100 {
			var effect []byte
			var want any
			i := 0
			if len(model) > 0 {
				i = rnd.IntN(len(model))
			}
			switch n := rnd.IntN(6); {
			case n == 0:
				count := 1 + rnd.Int64N(5)
				effect, want = AppendProducerIDs(nil, count), nextProducer
				nextProducer += count
			case n < 3 || len(model) == 0:
				top := topic(nextTopic, fmt.Sprintf("%d-%d", rnd.IntN(9), nextTopic), 1+rnd.Int32N(5))
				effect = AppendTopicCreated(nil, top)
				model = append(model, *top)
				nextTopic++
			case n == 3:
				effect = AppendTopicDeleted(nil, model[i].Number)
				model = slices.Delete(model, i, i+1)
			case n == 4:
				configs := map[string]string{}
				for range 1 + rnd.IntN(4) {
					configs[fmt.Sprint(rnd.IntN(5))] = fmt.Sprint(rnd.IntN(5))
				}
				effect = AppendTopicConfig(nil, model[i].Number, configs)
				model[i].Configs = configs
			default:
				model[i].Partitions += 1 + rnd.Int32N(3)
				effect = AppendPartitionsAdded(nil, model[i].Number, model[i].Partitions)
			}
			got, err := apply(t, s, effect)
			if err != nil || got != want {
				t.Fatalf("seed %d: came to %v, %v, want %v", seed, got, err, want)
			}
			if rnd.IntN(4) == 0 {
				snapshot := s.AppendSnapshot(nil)
				s = New()
				if err := s.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.AppendSnapshot(nil), snapshot) {
					t.Fatal("the restored state is another")
				}
			}
			compare(t, s, model, nextTopic, nextProducer)
		}
	}
}

func compare(t *testing.T, s *State, model []Topic, nextTopic uint64, nextProducer int64) {
	t.Helper()
	partitions := 0
	var names []string
	for i := range model {
		want := &model[i]
		got := s.Topic(want.Name)
		if got == nil || got != s.ByID(want.ID) || got != s.ByNumber(want.Number) || !maps.Equal(got.Configs, want.Configs) ||
			got.Partitions != want.Partitions || got.FirstShard != want.FirstShard || got.CreatedAt != want.CreatedAt {
			t.Fatalf("%+v, want %+v", got, want)
		}
		partitions += int(want.Partitions)
		names = append(names, want.Name)
	}
	slices.Sort(names)
	var got []string
	for _, top := range s.Topics() {
		got = append(got, top.Name)
	}
	if !slices.Equal(got, names) || s.NextTopicNumber() != nextTopic || s.NextProducerID() != nextProducer {
		t.Fatalf("%q, want %q; next %d and %d", got, names, s.NextTopicNumber(), s.NextProducerID())
	}
	if topics, p := s.Counts(); topics != len(model) || p != partitions {
		t.Fatalf("%d topics with %d partitions", topics, p)
	}
}

// fuzzed is the history that the fuzzers begin with.
func fuzzed() [][]byte {
	return slices.Concat(goldenEntries(), goldenGroupEntries(), goldenLevelEntries())
}

// memory is what an input may ask for: 22 bytes of a snapshot make a topic, in three maps.
func memory() machinetest.Memory {
	return machinetest.Memory{Factor: 100, Bytes: machinetest.DefaultBytes}
}

func FuzzApply(f *testing.F) {
	machinetest.AddEffects(f, fuzzed())
	kit().FuzzApply(f, kit().Fold(f, fuzzed()).AppendSnapshot(nil), metastore.At{}, memory())
}

func FuzzRestore(f *testing.F) { kit().FuzzRestore(f, memory(), nil, fuzzed()) }
