package cache

import (
	"sync"
	"testing"
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
