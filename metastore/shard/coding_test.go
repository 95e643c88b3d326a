package shard

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/machinetest"
)

func kit() machinetest.Kit[*State] {
	return machinetest.Kit[*State]{New: New, Describe: Describe, Headers: true}
}

// goldenEntries is a history with every effect and every flag, and batches that are void.
func goldenEntries() [][]byte {
	p := func(topic uint64, index int32) PartitionID { return PartitionID{topic, index} }
	entry := func(term metastore.Term, number uint64, effects ...[]byte) []byte {
		return append(metastore.AppendHeader(nil, metastore.Header{Term: term, Number: number, Time: 1_700_000_000_000 + int64(number)}), bytes.Join(effects, nil)...)
	}
	return [][]byte{
		entry(1, 1,
			AppendOpened(nil, Opened{Topic: 5, ID: [16]byte{0xa1, 15: 0x0a}, First: 3, Stride: 64, Count: 3}),
			AppendOpened(nil, Opened{Topic: 300, ID: [16]byte{0xb2, 15: 0x0b}, First: 0, Count: 1})),
		entry(1, 2, AppendFlush(nil, 1, []FlushBatch{
			{p(5, 3), 64, 1000, 10, 1_700_000_000_100, false, 4711, 0, 0, 0},
			{p(5, 3), 1064, 2000, 20, 1_700_000_000_090, false, 4711, 0, 10, 0},
			{p(5, 67), 3064, 500, 5, 1_700_000_000_200, true, 4712, 3, 0, 0},
			{p(300, 0), 3600, 61, 1, -1, false, NoProducer, 0, 0, 0},
			{p(301, 0), 3661, 61, 1, 1_700_000_000_200, false, NoProducer, 0, 0, 0},
		})),
		entry(2, 1, AppendFlush(nil, 9, []FlushBatch{
			{p(5, 3), 64, 100, 5, 1_700_000_000_300, false, 4711, 0, 30, 0},
			{p(5, 3), 164, 100, 5, 1_700_000_000_300, false, 4711, 0, 30, 0}, // void
			{p(5, 3), 264, 100, 5, 1_700_000_000_300, false, 4711, 0, 35, 0},
			{p(5, 67), 364, 1 << 20, math.MaxInt32, 1_700_000_000_300, true, 4712, 3, 5, 0},
			{p(5, 67), 364 + 1<<20, 100, 20, 1_700_000_000_400, false, 4712, 3, 4, 0},
		}), AppendFlush(nil, 10, []FlushBatch{{p(5, 131), 0, 100, 1, 1_700_000_000_500, false, 1, math.MaxInt16, 0, 0}})),
		entry(1, 2, AppendLogStart(nil, p(5, 3), 40)), // void: a repeat
		entry(2, 2,
			AppendFence(nil, Fence{p(5, 67), 4712, 3, Expected{Epoch: 3, Last: 23}}),
			AppendFence(nil, Fence{p(5, 67), 4712, 3, Expected{Epoch: 3, Last: 3}}), // void
			AppendFence(nil, Fence{p(5, 131), 800_000, 1, Expected{Unknown: true}}),
			AppendLogStart(nil, p(5, 3), 31),
			AppendForget(nil, Forget{Partition: p(5, 131), Producer: 1, Epoch: math.MaxInt16})),
		entry(1, 3, AppendClosed(nil, 300), metastore.AppendTermEnded(nil, 2)),
	}
}

// goldenTransactions is a history with every effect and flag of transactions.
func goldenTransactions() [][]byte {
	p := func(topic uint64, index int32) PartitionID { return PartitionID{topic, index} }
	entry := func(number uint64, effects ...[]byte) []byte {
		return append(metastore.AppendHeader(nil, metastore.Header{Term: 1, Number: number, Time: 1_700_000_000_000 + int64(number)}), bytes.Join(effects, nil)...)
	}
	marker := func(producer int64, x uint64, commit bool, partitions ...PartitionID) []byte {
		return AppendMarker(nil, Marker{producer, x, 3, commit, 77, 1_700_000_000_400, partitions})
	}
	return [][]byte{
		entry(1, AppendOpened(nil, Opened{Topic: 5, ID: [16]byte{0xa1, 15: 0x0a}, First: 3, Stride: 64, Count: 2})),
		entry(2, AppendFlush(nil, 1, []FlushBatch{
			{p(5, 3), 64, 1000, 10, 1_700_000_000_100, false, 4711, 2, 0, 1000},
			{p(5, 3), 1064, 2000, 20, 1_700_000_000_090, false, 4711, 2, 10, 1000},
			{p(5, 3), 3064, 100, 1, 1_700_000_000_090, false, 4712, 0, 0, 998},
			{p(5, 67), 3164, 500, 5, 1_700_000_000_200, true, 4713, 0, 0, 1 << 40},
		})),
		entry(3, marker(4711, 1000, false, p(5, 3), p(5, 67), p(6, 0)), marker(4711, 1000, true, p(5, 3))), // the second is void
		entry(4,
			AppendFlush(nil, 2, []FlushBatch{
				{p(5, 3), 64, 100, 10, 1_700_000_000_300, false, 4711, 2, 30, 1000}, // void: it has ended
				{p(5, 3), 164, 100, 10, 1_700_000_000_300, false, 4711, 3, 0, 1001},
			}),
			marker(4713, 1<<40, true, p(5, 67)),
			AppendForget(nil, Forget{Partition: p(5, 67), Producer: 4713, Last: 4}), // void: it expects no transaction
			AppendForget(nil, Forget{Partition: p(5, 67), Producer: 4713, Last: 4, Ended: 1 << 40})),
		entry(5, marker(4712, 998, false, p(5, 3)), marker(4714, 7, true, p(5, 3))),
		entry(6, AppendForget(nil, Expired{Partition: p(5, 3), Producer: 4714, Ended: 7}.Forget())),
	}
}

// goldenJumps is a history with holes: between extents, after a marker, at the end, and where nothing stood.
func goldenJumps() [][]byte {
	p := func(index int32) PartitionID { return PartitionID{5, index} }
	entry := func(number uint64, effects ...[]byte) []byte {
		return append(metastore.AppendHeader(nil, metastore.Header{Term: 1, Number: number, Time: 1_700_000_000_000 + int64(number)}), bytes.Join(effects, nil)...)
	}
	return [][]byte{
		entry(1, AppendOpened(nil, Opened{Topic: 5, ID: [16]byte{0xa1, 15: 0x0a}, First: 3, Stride: 64, Count: 2})),
		entry(2, AppendFlush(nil, 1, []FlushBatch{{p(3), 64, 1000, 10, 1_700_000_000_100, false, 4711, 2, 0, 7}}),
			AppendJump(nil, p(3), 300), AppendJump(nil, p(3), 200), AppendJump(nil, p(67), 1<<31-1), AppendJump(nil, p(131), 5)),
		entry(3, AppendFlush(nil, 2, []FlushBatch{{p(3), 64, 1000, 10, 1_700_000_000_100, false, 4711, 2, 10, 7}}),
			AppendMarker(nil, Marker{4711, 7, 2, true, 77, 1_700_000_000_400, []PartitionID{p(3)}}),
			AppendJump(nil, p(3), 400)),
		entry(4, AppendFlush(nil, 3, []FlushBatch{{p(3), 64, 1000, 10, 1_700_000_000_100, false, NoProducer, 0, 0, 0}}),
			AppendJump(nil, p(3), 500)),
	}
}

// TestGolden holds the bytes of entries and snapshots, and what they mean: entries
// that were written once fold the same for ever.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		entries, snapshot string
		history           [][]byte
	}{
		{"entries.txt", "snapshot.txt", goldenEntries()},
		{"transactions.txt", "transactions-snapshot.txt", goldenTransactions()},
		{"jumps.txt", "jumps-snapshot.txt", goldenJumps()},
	} {
		t.Run(c.entries, func(t *testing.T) { kit().Golden(t, c.entries, c.snapshot, c.history) })
	}
}

// goldenEffects holds the bytes of effects, each folded by itself, and of the state after them.
func goldenEffects(t *testing.T, file string, effects ...[]byte) {
	t.Helper()
	state := New()
	fold := metastore.NewFold(state)
	var text strings.Builder
	for i, effect := range effects {
		e := append(metastore.AppendHeader(nil, metastore.Header{Term: 3, Number: uint64(i + 1), Time: 1_700_000_000_000}), effect...)
		fmt.Fprintf(&text, "%s\n", hex.Dump(effect))
		machinetest.Effects(t, e, func(kind metastore.EffectKind, body []byte) {
			words, err := Describe(kind, body)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&text, words)
		})
		res, err := fold.Apply(metastore.Version(i+1), e, func(metastore.Header) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "outcomes=%v\n\n", res.Outcomes)
		kit().Restored(t, state)
	}
	machinetest.Golden(t, file, text.String()+hex.Dump(state.AppendSnapshot(nil))+"\n"+kit().Words(t, state))
}

func decodeFlush(t testing.TB, effect []byte) (uint64, []FlushBatch) {
	_, effects, err := metastore.ParseEntry(append(metastore.AppendHeader(nil, metastore.Header{}), effect...))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _, err := effects.Next()
	if err != nil {
		t.Fatal(err)
	}
	d := metastore.Decoder{Rest: body}
	r := readFlush(&d)
	var batches []FlushBatch
	for range r.count {
		if err := r.next(); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, r.batch)
	}
	if err := atEnd(&d); err != nil {
		t.Fatal(err)
	}
	return r.segment, batches
}

// TestFlush_AnyBatches encodes and decodes batches in no order.
func TestFlush_AnyBatches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		batches := make([]FlushBatch, 1+rnd.IntN(8))
		for i := range batches {
			b := FlushBatch{
				Partition: PartitionID{pick(rnd, rnd.Uint64(), rnd.Uint64N(3)), pick(rnd, rnd.Int32(), rnd.Int32N(3))},
				Position:  pick(rnd, rnd.Int64N(1<<31), rnd.Int64N(200)), Length: 1 + pick(rnd, rnd.Int64N(1<<31), rnd.Int64N(200)),
				Offsets: 1 + rnd.Int32N(math.MaxInt32), MaxTimestamp: pick(rnd, int64(rnd.Uint64()), -1, 5),
				LogAppendTime: rnd.IntN(2) == 0, ProducerID: NoProducer,
			}
			if rnd.IntN(3) > 0 {
				b.ProducerID, b.Epoch, b.BaseSequence = pick(rnd, rnd.Int64(), rnd.Int64N(5)), int16(rnd.IntN(1<<15)), rnd.Int32()
				b.Transaction = pick(rnd, NoTransaction, rnd.Uint64(), 1+rnd.Uint64N(5))
			}
			batches[i] = b
		}
		number := rnd.Uint64()
		gotNumber, got := decodeFlush(t, AppendFlush(nil, number, batches))
		if gotNumber != number || !reflect.DeepEqual(got, batches) {
			t.Fatalf("segment %d %+v\ncame back as %d %+v", number, batches, gotNumber, got)
		}
	}
}

// realisticFlush is what a busy agent flushes into one shard: long-lived producers with
// ids and sequences of any size, batches of 8 to 200 KiB.
func realisticFlush(batches int) []FlushBatch {
	rnd := rand.New(rand.NewPCG(7, 7))
	flush := make([]FlushBatch, batches)
	position := int64(4 << 20)
	for i := range flush {
		flush[i] = FlushBatch{
			Partition: PartitionID{1000 + uint64(i/4), int32(i%4*64 + rnd.IntN(64))},
			Position:  position, Length: 8<<10 + rnd.Int64N(192<<10), Offsets: 1 + rnd.Int32N(2000),
			MaxTimestamp: 1_700_000_000_000 + rnd.Int64N(500),
			ProducerID:   rnd.Int64N(1_000_000), Epoch: int16(rnd.IntN(2)), BaseSequence: rnd.Int32(),
		}
		position += flush[i].Length
	}
	return flush
}

func TestFlush_BytesABatch(t *testing.T) {
	for _, batches := range []int{10, 600} {
		effect := AppendFlush(metastore.AppendHeader(nil, metastore.Header{Term: 1000, Number: 1 << 20, Time: 1_700_000_000_000}), 1<<20, realisticFlush(batches))
		perBatch := float64(len(effect)) / float64(batches)
		t.Logf("%d batches: %.1f bytes each", batches, perBatch)
		if perBatch > 24 {
			t.Errorf("%d batches take %.1f bytes each, want at most 24", batches, perBatch)
		}
	}
}

func TestFence_Bytes(t *testing.T) {
	f := Fence{PartitionID{5000, 900}, 1_000_000, 2, Expected{Epoch: 2, Last: 1 << 30}}
	if got := len(AppendFence(nil, f)); got > 20 {
		t.Errorf("%d bytes", got)
	}
}

func TestFlush_PanicsOnWhatWouldStopTheJournal(t *testing.T) {
	good := batch(7, 0, 0, 1)
	for name, change := range map[string]func(b *FlushBatch){
		"index":    func(b *FlushBatch) { b.Partition.Index = -1 },
		"position": func(b *FlushBatch) { b.Position = -1 },
		"length":   func(b *FlushBatch) { b.Length = 0 },
		"end":      func(b *FlushBatch) { b.Position = 1 << 32 },
		"offsets":  func(b *FlushBatch) { b.Offsets = 0 },
		"epoch":    func(b *FlushBatch) { b.Epoch = -1 },
		"sequence": func(b *FlushBatch) { b.BaseSequence = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			b := good
			change(&b)
			defer func() {
				if b.Check() == nil || recover() == nil {
					t.Error("encoded")
				}
			}()
			AppendFlush(nil, 1, []FlushBatch{good, b})
		})
	}
}
