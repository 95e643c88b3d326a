package fetch

import (
	"bytes"
	"slices"
	"testing"

	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire/batch"
)

// split cuts b into slices of at most n bytes, as the cache's blocks do.
func split(b []byte, n int) (all [][]byte) {
	for piece := range slices.Chunk(b, n) {
		all = append(all, piece)
	}
	return all
}

func TestCut_WhereverTheBlocksEnd(t *testing.T) {
	b := slices.Concat(makeBatch(2, 10, 0), makeBatch(3, 20, 0), makeBatch(1, 0, 0))
	e := shard.Extent{BaseOffset: 100, Records: 6, Length: int64(len(b))}
	want := bytes.Clone(b)
	rest := want
	for base := int64(100); len(rest) > 0; {
		h, err := batch.Parse(rest)
		if err != nil {
			t.Fatal(err)
		}
		batch.SetBaseOffset(rest, base)
		base += int64(h.LastOffsetDelta) + 1
		rest = rest[h.Size():]
	}
	for n := 1; n <= len(b); n++ {
		slices := split(b, n)
		if err := check(slices, e, 1<<20); err != nil {
			t.Fatalf("blocks of %d: %v", n, err)
		}
		var r Response
		size, full, err := r.cut(slices, e, 100, 106, 1<<20, 1<<20, true)
		if err != nil || full || size != len(b) || !bytes.Equal(bytes.Join(r.pieces, nil), want) {
			t.Fatalf("blocks of %d: %d bytes of %d, full %v, %v", n, size, len(b), full, err)
		}
	}
}

func TestCut_ManyBatches(t *testing.T) {
	one := makeBatch(1, 0, 0)
	const count = 3 * basesBytes / baseOffsetBytes
	e := shard.Extent{BaseOffset: 7, Records: count, Length: int64(count * len(one))}
	var r Response
	if _, _, err := r.cut([][]byte{bytes.Repeat(one, count)}, e, 7, e.End(), 1<<30, 1<<20, true); err != nil {
		t.Fatal(err)
	}
	all := offsets(t, bytes.Join(r.pieces, nil))
	for i := range count {
		if all[2*i] != 7+int64(i) {
			t.Fatalf("batch %d has base offset %d", i, all[2*i])
		}
	}
}

// FuzzCut: whatever a segment holds, nothing panics, and what is returned is no
// more than it holds, nor than was asked for.
func FuzzCut(f *testing.F) {
	b := slices.Concat(makeBatch(2, 10, 0), makeBatch(3, 20, 0))
	f.Add(b, 64, int64(0), int32(5), 1<<20)
	f.Add(b, 7, int64(3), int32(5), len(b)/2)
	f.Add(b[:len(b)-1], 100, int64(0), int32(9), 0)
	f.Fuzz(func(t *testing.T, b []byte, block int, offset int64, records int32, bytesMax int) {
		blocks := split(b, 1+int(uint(block)%1000))
		e := shard.Extent{BaseOffset: 0, Records: records & 0xffff, Length: int64(len(b))}
		right := check(blocks, e, 1<<20) == nil
		var r Response
		size, _, err := r.cut(blocks, e, offset, e.End(), bytesMax, 1<<20, false)
		got := 0
		for _, p := range r.pieces {
			got += len(p)
		}
		if got != size || size > len(b) || size > max(0, bytesMax) {
			t.Errorf("%d bytes in pieces, %d said, of %d; limit %d", got, size, len(b), bytesMax)
		}
		if right && err != nil {
			t.Errorf("a right extent can't be cut: %v", err)
		}
	})
}
