package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Frame holds the bytes of one request. It is counted: whoever needs the bytes
// beyond the request's handling retains it (Route says until when that is). The last
// release gives the buffer back to its pool, after which it holds another request's
// bytes, and gives back what the request was charged for it.
type Frame struct {
	refs    atomic.Int32
	pool    *framePool
	class   int // of the pool; -1: not pooled
	room    []byte
	size    int
	request *Request // that is charged for it; nil while it grows
}

// Bytes returns the request without its length prefix.
func (f *Frame) Bytes() []byte { return f.room[:f.size] }

// Retain keeps the bytes until one more Release. Only a holder may call it.
func (f *Frame) Retain() {
	if f.refs.Add(1) <= 1 {
		panic("wire: retained a frame that nobody holds")
	}
}

// Release gives up one hold on the frame.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n == 0:
		r := f.request
		f.request = nil
		f.pool.put(f)
		if r != nil {
			r.Conn.discharge(r)
		}
	case n < 0:
		panic("wire: released a frame that nobody holds")
	}
}

// Size classes are 512 B, 768 B, 1 KiB, 1.5 KiB … 16 MiB. Larger frames are rare
// and too much to keep: they are made to measure and left to the collector.
const (
	frameClassBits  = 9
	frameClasses    = 2*(24-frameClassBits) + 1
	frameBytesClass = 1 << 24 // the largest class
)

// framePool hands out frames by size class.
type framePool struct {
	classes [frameClasses]sync.Pool
	poison  bool // overwrite what is released
}

// frameClass returns the smallest class with room for n bytes, and its size.
func frameClass(n int) (class, size int) {
	if n <= 1<<frameClassBits {
		return 0, 1 << frameClassBits
	}
	k := bits.Len(uint(n - 1)) // 2^(k-1) < n <= 2^k
	if half := 3 << (k - 2); n <= half {
		return 2*(k-frameClassBits) - 1, half
	}
	return 2 * (k - frameClassBits), 1 << k
}

// frameCost is the memory that a frame of n bytes takes.
func frameCost(n int) int64 {
	if n > frameBytesClass {
		return int64(n)
	}
	_, size := frameClass(n)
	return int64(size)
}

// get returns a frame with room for n bytes, none of them filled, held once.
func (p *framePool) get(n int) *Frame {
	var f *Frame
	if n > frameBytesClass {
		f = &Frame{pool: p, class: -1, room: make([]byte, n)}
	} else {
		class, size := frameClass(n)
		f, _ = p.classes[class].Get().(*Frame)
		if f == nil {
			f = &Frame{pool: p, class: class, room: make([]byte, size)}
		}
	}
	f.size = 0
	f.refs.Store(1)
	return f
}

func (p *framePool) put(f *Frame) {
	if f.class < 0 {
		return
	}
	if p.poison {
		for i := range f.room {
			f.room[i] = 0xdb
		}
	}
	p.classes[f.class].Put(f)
}
