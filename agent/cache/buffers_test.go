package cache

import (
	"runtime"
	"sync"
	"testing"
	"weak"

	"github.com/wadi-io/wadi/wire/segment"
)

func TestBuffers_Classes(t *testing.T) {
	for class := range classCount {
		size := classBytes(class)
		if got, ok := classOf(size); got != class || !ok {
			t.Errorf("classOf(%d) = %d, %v; want %d", size, got, ok, class)
		}
		if got, ok := classBelow(size); got != class || !ok {
			t.Errorf("classBelow(%d) = %d, %v; want %d", size, got, ok, class)
		}
		if got, ok := classBelow(size - 1); got != class-1 || ok != (class > 0) {
			t.Errorf("classBelow(%d) = %d, %v", size-1, got, ok)
		}
		if got, ok := classOf(size + 1); ok != (class < classCount-1) || ok && got != class+1 {
			t.Errorf("classOf(%d) = %d, %v", size+1, got, ok)
		}
	}
	if classBytes(0) != classBytesMin || classBytes(classCount-1) != classBytesMax {
		t.Error("the bounds are not classes")
	}
}

func TestBuffers_LentAgain(t *testing.T) {
	b, err := NewBuffers(20 * kib)
	if err != nil {
		t.Fatal(err)
	}
	first := b.Get(5700)
	if len(first) != 5700 || cap(first) != 6*kib {
		t.Fatalf("length %d, capacity %d", len(first), cap(first))
	}
	b.Put(first[:10])
	if again := b.Get(6 * kib); &again[0] != &first[0] || len(again) != 6*kib {
		t.Error("the idle buffer was not lent again")
	}
	if b.IdleBytes() != 0 {
		t.Errorf("%d bytes are idle", b.IdleBytes())
	}
	for range 10 { // only three of them fit the bound
		b.Put(make([]byte, 6*kib))
	}
	if b.IdleBytes() != 18*kib {
		t.Errorf("%d bytes are idle", b.IdleBytes())
	}
	b.Put(make([]byte, 100)) // smaller than any class
	b.Put(nil)
	if huge := b.Get(classBytesMax + 1); len(huge) != classBytesMax+1 {
		t.Errorf("%d bytes", len(huge))
	} else {
		b.Put(huge)
	}
	if b.IdleBytes() != 18*kib {
		t.Errorf("%d bytes are idle", b.IdleBytes())
	}
	if got := testing.AllocsPerRun(100, func() { b.Put(b.Get(6 * kib)) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
	if _, err := NewBuffers(-1); err == nil {
		t.Error("a negative bound is taken")
	}
}

func TestBuffers_LentToOne(t *testing.T) {
	b, err := NewBuffers(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				buf := b.Get(64 + n*10)
				for j := range buf {
					buf[j] = byte(i)
				}
				for j := range buf {
					if buf[j] != byte(i) {
						t.Error("a buffer has two users")
						return
					}
				}
				b.Put(buf)
			}
		})
	}
	wg.Wait()
}

// TestLend: a segment that is to be written gets the buffer of the oldest one that the cache
// holds, as soon as the cache is full.
func TestLend(t *testing.T) {
	s := newSource()
	c := newCache(t, s, 4)
	lent := 0 // by Lend, in segments
	c.cfg.Outside = func() int64 { return int64(lent*testBlock) + c.buffers.IdleBytes() }
	id := func(n int) segment.ID { return segment.ID{Term: 9, Number: uint64(n)} }
	lend := func() []byte {
		buf := c.Lend(testBlock - 5)
		lent++
		return buf
	}
	put := func(n int, body []byte) {
		lent--
		c.Put(id(n), body, c.buffers.Put)
	}
	var bodies [][]byte
	for n := range 4 {
		bodies = append(bodies, lend())
		put(n, bodies[n])
	}
	for n := 4; n < 20; n++ {
		body := lend()
		if &body[0] != &bodies[n-4][0] {
			t.Fatalf("segment %d has not got the buffer of %d", n, n-4)
		}
		bodies = append(bodies, body)
		if got := c.Stats(); got.Bytes != 3*testBlock {
			t.Fatalf("%d bytes are held beside what is lent", got.Bytes)
		}
		put(n, body)
	}
	if got := c.Stats(); got.Bytes != 4*testBlock || got.Evictions != 16 || got.PutsDropped != 0 || c.buffers.IdleBytes() != 0 {
		t.Errorf("%+v, %d bytes are idle", got, c.buffers.IdleBytes())
	}
	// What is pinned is not lent.
	var pins []*Pinned
	for n := 16; n < 20; n++ {
		p, err := c.Read(t.Context(), id(n), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, p)
	}
	body := lend()
	for _, p := range pins {
		if &body[0] == &p.Slices[0][0] {
			t.Error("what a reader holds was lent")
		}
		p.Release()
	}
	put(20, body)
	if got := c.Stats().Bytes; got != 4*testBlock {
		t.Errorf("%d bytes are held", got)
	}
}

// TestBuffers_KeepNoMoreThanTheyCount: buffers that made room for those of another size are
// the collector's.
func TestBuffers_KeepNoMoreThanTheyCount(t *testing.T) {
	const idleMax, small, large = 16 << 20, 1 << 20, 4 << 20
	b, err := NewBuffers(idleMax)
	if err != nil {
		t.Fatal(err)
	}
	var seen []weak.Pointer[byte]
	var sizes []int
	for _, size := range []int{small, large, small} {
		bufs := make([][]byte, idleMax/size)
		for i := range bufs {
			bufs[i] = b.Get(size)
			seen, sizes = append(seen, weak.Make(&bufs[i][0])), append(sizes, size)
		}
		for _, buf := range bufs {
			b.Put(buf)
		}
		clear(bufs)
		if got := b.IdleBytes(); got != idleMax {
			t.Errorf("%d bytes are counted as kept", got)
		}
		runtime.GC()
		kept := 0
		for i, w := range seen {
			if w.Value() != nil {
				kept += sizes[i]
			}
		}
		if kept > idleMax {
			t.Errorf("%d bytes are kept, after buffers of %d", kept, size)
		}
	}
	runtime.KeepAlive(b)
}
