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
	release func()   // Release as a value, made once
}

// Bytes returns the request without its length prefix.
func (f *Frame) Bytes() []byte { return f.room[:f.size] }

// Retain keeps the bytes until one more Release. Only a holder may call it.
func (f *Frame) Retain() {
	if f.refs.Add(1) <= 1 {
		panic("wire: retained a frame that nobody holds")
	}
}

// Releaser returns Release as a value, which costs nothing each time.
func (f *Frame) Releaser() func() {
	if f.release == nil {
		f.release = f.Release
	}
	return f.release
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

// Size classes are 512 B, 576 B, 640 B … 1 KiB, 1.125 KiB … 16 MiB: eight in each
// doubling. Larger frames are rare and too much to keep: they are made to measure and
// left to the collector.
const (
	frameClassBits  = 9
	frameSteps      = 8 // classes in a doubling
	frameClasses    = frameSteps*(24-frameClassBits) + 1
	frameBytesClass = 1 << 24 // the largest class
)

// Frames of more than pooledFrameBytesMax are kept by framePool itself, up to
// idleFrameBytesMax of them: a sync.Pool forgets them at each collection or two, and then new
// ones have to be made and cleared. What is more goes into one all the same, so that a
// load that swings finds its frames again.
const (
	pooledFrameBytesMax = 64 << 10
	idleFrameBytesMax   = 24 << 20
)

// framePool hands out frames by size class.
type framePool struct {
	classes [frameClasses]sync.Pool
	poison  bool     // overwrite what is released
	mu      struct { // of large frames
		sync.Mutex
		idle  [frameClasses][]*Frame
		bytes int64
	}
}

// frameClass returns the smallest class with room for n bytes, and its size.
func frameClass(n int) (class, size int) {
	if n <= 1<<frameClassBits {
		return 0, 1 << frameClassBits
	}
	doubling := bits.Len(uint(n-1)) - 1 // 2^doubling < n <= 2^(doubling+1)
	base := 1 << doubling
	steps := (n - base + base/frameSteps - 1) / (base / frameSteps)
	return frameSteps*(doubling-frameClassBits) + steps, base + steps*(base/frameSteps)
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
		if size > pooledFrameBytesMax {
			f = p.takeIdle(class, size)
		}
		if f == nil {
			f, _ = p.classes[class].Get().(*Frame)
		}
		if f == nil {
			f = &Frame{pool: p, class: class, room: make([]byte, size)}
		}
	}
	f.size = 0
	f.refs.Store(1)
	return f
}

func (p *framePool) takeIdle(class, size int) *Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.idle[class]) == 0 {
		return nil
	}
	p.mu.bytes -= int64(size)
	return p.popLocked(class)
}

// popLocked takes an idle frame of a class that has some. Nothing of it stays behind: it is
// large, and no longer counted.
func (p *framePool) popLocked(class int) *Frame {
	idle := p.mu.idle[class]
	f := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	p.mu.idle[class] = idle[:len(idle)-1]
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
	if len(f.room) <= pooledFrameBytesMax || !p.keepIdle(f) {
		p.classes[f.class].Put(f)
	}
}

// keepIdle keeps a large frame, if there is room for it.
func (p *framePool) keepIdle(f *Frame) bool {
	size := int64(len(f.room))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.makeRoomLocked(f.class, size)
	if p.mu.bytes+size > idleFrameBytesMax {
		return false
	}
	p.mu.idle[f.class] = append(p.mu.idle[f.class], f)
	p.mu.bytes += size
	return true
}

// makeRoomLocked lets go of other classes' frames, so that those that nobody asks for any
// more don't keep out the others.
func (p *framePool) makeRoomLocked(class int, size int64) {
	for other := range p.mu.idle {
		for other != class && p.mu.bytes+size > idleFrameBytesMax && len(p.mu.idle[other]) > 0 {
			p.mu.bytes -= int64(len(p.popLocked(other).room))
		}
	}
}

// idleBytes is what is kept of large frames, in bytes.
func (p *framePool) idleBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.bytes
}
