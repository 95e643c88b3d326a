package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// keeper keeps a copy of the last batch that went through it.
type keeper struct {
	Producer
	mu   sync.Mutex
	last []byte
}

func (k *keeper) Append(ctx context.Context, batches []ingest.Batch, gone <-chan struct{}, copied func()) (*ingest.Submission, error) {
	k.mu.Lock()
	k.last = bytes.Clone(batches[len(batches)-1].Bytes)
	k.mu.Unlock()
	return k.Producer.Append(ctx, batches, gone, copied)
}

func (k *keeper) kept() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

func TestProduce_CompressionType(t *testing.T) {
	k := &keeper{}
	a := newAgent(t, newStore(), options{producer: func(p Producer) Producer { k.Producer = p; return k }})
	codecs := map[string]batch.Codec{"uncompressed": batch.None, "gzip": batch.Gzip, "snappy": batch.Snappy, "lz4": batch.LZ4, "zstd": batch.Zstd}
	plain := records(plain(), strings.Repeat("a value ", 1000), "b")
	for kind, want := range codecs {
		id := a.create("of-"+kind, 1, map[string]string{"compression.type": kind, "message.timestamp.type": "LogAppendTime"})
		for _, from := range codecs {
			b, err := batch.Recompress(plain, from, 1, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			sent, _ := batch.Parse(b)
			if got := a.produce(13, "", id, b); got.ErrorCode != 0 {
				t.Fatalf("%s: %+v", kind, got)
			}
			stored, err := batch.Parse(k.kept())
			if err != nil || stored.Codec() != want || !stored.LogAppendTime() || from == want && stored.Length != sent.Length {
				t.Errorf("%v to %s: %v %+v", from, kind, err, stored)
			}
			n := 0
			for r, err := range batch.Records(k.kept(), 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				n += len(r.Value)
			}
			if n != 8001 {
				t.Errorf("%v to %s: %d bytes of values", from, kind, n)
			}
		}
	}
	id := a.create("as-sent", 1, nil)
	b, err := batch.Recompress(plain, batch.LZ4, 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	a.produce(13, "", id, b)
	if stored, _ := batch.Parse(k.kept()); stored.Codec() != batch.LZ4 || len(k.kept()) != len(b) {
		t.Errorf("producer: %+v", stored)
	}
}

func TestProduce_CompressionTypeRefuses(t *testing.T) {
	a := newAgent(t, newStore(), options{
		settings: map[string]string{"compression.type": "uncompressed"},
		limits:   func(l *Limits) { l.DecompressedBytesMax = 20_000 },
	})
	small := a.create("small", 1, map[string]string{"max.message.bytes": "5000"})
	large := a.create("large", 1, nil)
	packed := func(bytes int) []byte {
		b, err := batch.Recompress(records(plain(), strings.Repeat("x", bytes)), batch.Gzip, 9, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if got := a.produce(13, "", small, packed(4000)); got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	if got := a.produce(13, "", small, packed(6000)); got.ErrorCode != wire.CodeMessageTooLarge {
		t.Errorf("too large once it is not compressed: %+v", got)
	}
	if got := a.produce(13, "", large, packed(30_000)); got.ErrorCode != wire.CodeMessageTooLarge {
		t.Errorf("beyond what is decompressed: %+v", got)
	}
	req := produceRequest(13, "", large, packed(15_000))
	more := req.Topics[0].Partitions[0]
	more.Records = packed(15_000)
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, more)
	got := call[*kmsg.ProduceResponse](a, req).Topics[0].Partitions
	if got[0].ErrorCode != 0 || got[1].ErrorCode != wire.CodeMessageTooLarge {
		t.Errorf("beyond what a request may take: %+v", got)
	}
	garbled := records(plain(), "no gzip at all")
	garbled[22] = byte(batch.Gzip) // the attributes' low byte
	binary.BigEndian.PutUint32(garbled[17:], crc32.Checksum(garbled[21:], crc32.MakeTable(crc32.Castagnoli)))
	if got := a.produce(13, "", large, garbled); got.ErrorCode != wire.CodeInvalidRecord {
		t.Errorf("garbled: %+v", got)
	}
}
