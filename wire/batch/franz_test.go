package batch_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire/batch"
)

// franzRecord encodes one record with franz-go's message structs.
func franzRecord(r batch.Record, first int64) []byte {
	k := kmsg.Record{
		TimestampDelta64: r.Timestamp - first,
		OffsetDelta:      int32(r.Offset),
		Key:              r.Key,
		Value:            r.Value,
	}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
	}
	// The length is that of what follows it.
	b := k.AppendTo(nil)
	_, n := binary.Varint(b)
	k.Length = int32(len(b) - n)
	return k.AppendTo(nil)
}

// franzBatch encodes a batch with franz-go's message structs and compressor.
func franzBatch(t testing.TB, records []batch.Record, codec kgo.CompressionCodec, change func(*kmsg.RecordBatch)) []byte {
	t.Helper()
	first, newest := records[0].Timestamp, records[0].Timestamp
	var encoded []byte
	for _, r := range records {
		encoded = append(encoded, franzRecord(r, first)...)
		newest = max(newest, r.Timestamp)
	}
	compressor, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	var attributes int16
	if compressor != nil {
		compressed, used := compressor.Compress(new(bytes.Buffer), encoded)
		encoded, attributes = bytes.Clone(compressed), int16(used)
	}
	k := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		Attributes:           attributes,
		LastOffsetDelta:      int32(len(records) - 1),
		FirstTimestamp:       first,
		MaxTimestamp:         newest,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		FirstSequence:        -1,
		NumRecords:           int32(len(records)),
		Records:              encoded,
	}
	if change != nil {
		change(&k)
	}
	k.Length = int32(len(k.AppendTo(nil)) - 12)
	b := k.AppendTo(nil)
	crc := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[17:], crc)
	return b
}

// randomRecords returns n records, the same for the same source.
func randomRecords(r *rand.Rand, n int) []batch.Record {
	data := func() []byte {
		switch r.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			return bytes.Repeat([]byte("again "), r.IntN(300))
		}
		b := make([]byte, r.IntN(200))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{Offset: int64(i), Timestamp: 1_700_000_000_000 + r.Int64N(1<<33) - 1<<32, Key: data(), Value: data()}
		for range r.IntN(4) {
			records[i].Headers = append(records[i].Headers, batch.RecordHeader{Key: fmt.Appendf(nil, "h%d", r.IntN(9)), Value: data()})
		}
	}
	return records
}

var franzCodecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func TestFranzBatches(t *testing.T) {
	for name, codec := range franzCodecs {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{1, 2, 7, 100, 3000} {
				want := randomRecords(random, n)
				b := franzBatch(t, want, codec, func(k *kmsg.RecordBatch) {
					k.ProducerID, k.ProducerEpoch, k.FirstSequence = 1<<40, 3, 1<<31-2
				})
				h, err := batch.Check(b)
				if err != nil {
					t.Fatal(err)
				}
				var k kmsg.RecordBatch
				if err := k.ReadFrom(b); err != nil {
					t.Fatal(err)
				}
				if h.BaseOffset != k.FirstOffset || h.Length != k.Length || h.LeaderEpoch != k.PartitionLeaderEpoch || h.Magic != k.Magic ||
					h.CRC != uint32(k.CRC) || h.Attributes != k.Attributes || h.LastOffsetDelta != k.LastOffsetDelta ||
					h.FirstTimestamp != k.FirstTimestamp || h.MaxTimestamp != k.MaxTimestamp || h.ProducerID != k.ProducerID ||
					h.ProducerEpoch != k.ProducerEpoch || h.BaseSequence != k.FirstSequence || h.Records != k.NumRecords {
					t.Errorf("got %+v, want %+v", h, k)
				}
				if n >= 100 && h.Codec().String() != name {
					t.Errorf("codec %v", h.Codec())
				}
				i := 0
				for got, err := range batch.Records(b, 64<<20) {
					if err != nil {
						t.Fatal(err)
					}
					requireSame(t, got, want[i])
					i++
				}
				if i != n {
					t.Errorf("%d records of %d", i, n)
				}
			}
		})
	}
}

// requireSame fails the test unless two records are the same, null and empty told apart.
func requireSame(t *testing.T, got, want batch.Record) {
	t.Helper()
	same := got.Offset == want.Offset && got.Timestamp == want.Timestamp && len(got.Headers) == len(want.Headers) &&
		sameBytes(got.Key, want.Key) && sameBytes(got.Value, want.Value)
	for i := range got.Headers {
		same = same && sameBytes(got.Headers[i].Key, want.Headers[i].Key) && sameBytes(got.Headers[i].Value, want.Headers[i].Value)
	}
	if !same {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// Append and franz-go encode the same records to the same bytes.
func TestAppend_LikeFranz(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 200; n += 13 {
		records := randomRecords(random, n)
		want := franzBatch(t, records, kgo.NoCompression(), nil)
		got := batch.Append(nil, batch.Header{LeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d records: got %x, want %x", n, got, want)
		}
	}
}

// franz-go's own reader of fetches finds in our batches what was put into them,
// at the offsets and times that the broker assigned.
func TestAssigned_ReadByFranz(t *testing.T) {
	for name, codec := range franzCodecs {
		t.Run(name, func(t *testing.T) {
			want := randomRecords(rand.New(rand.NewPCG(5, 6)), 50)
			b := franzBatch(t, want, codec, nil)
			const base, appended = 1 << 33, 1_800_000_000_000
			batch.SetLogAppendTime(b, appended)
			batch.SetBaseOffset(b, base)
			batch.SetLeaderEpoch(b, 0)
			answer := kmsg.NewFetchResponseTopicPartition()
			answer.HighWatermark, answer.LastStableOffset = base+50, base+50
			answer.RecordBatches = b
			got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: base, Topic: "t"}, &answer, kgo.DefaultDecompressor(), nil)
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			if len(got.Records) != len(want) {
				t.Fatalf("%d records of %d", len(got.Records), len(want))
			}
			for i, r := range got.Records {
				if r.Offset != base+int64(i) || r.Timestamp.UnixMilli() != appended || !bytes.Equal(r.Key, want[i].Key) || !bytes.Equal(r.Value, want[i].Value) {
					t.Errorf("record %d: got %+v, want %+v", i, r, want[i])
				}
			}
		})
	}
}
