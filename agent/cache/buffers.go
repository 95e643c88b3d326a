package cache

import (
	"errors"
	"math/bits"
	"sync"
)

// Buffers come in classes of 4 KiB, 4½ KiB, 5 KiB … up to 64 MiB: eight in each
// doubling, so that a ninth of a buffer at most is slack.
const (
	classBytesMin   = 4 << 10
	classBytesMax   = 64 << 20
	classesDoubling = 8
	classCount      = classesDoubling*14 + 1
)

// Buffers lends byte slices and takes them back, so that segments don't cost a
// fresh allocation each. Idle buffers are bounded; more are left to the collector.
type Buffers struct {
	idleBytesMax int64
	mu           struct {
		sync.Mutex
		idle  [classCount][][]byte
		bytes int64
	}
}

// NewBuffers returns Buffers that keep at most idleBytesMax bytes that nobody uses.
func NewBuffers(idleBytesMax int64) (*Buffers, error) {
	if idleBytesMax < 0 {
		return nil, errors.New("cache: the limit of idle buffers must not be negative")
	}
	return &Buffers{idleBytesMax: idleBytesMax}, nil
}

// Get returns a slice of size bytes with undefined contents. Its capacity is that
// of the smallest class that holds it; above 64 MiB it is size, and never pooled.
func (b *Buffers) Get(size int) []byte {
	if buf := b.takeIdle(size); buf != nil {
		return buf
	}
	if class, ok := classOf(size); ok {
		return make([]byte, size, classBytes(class))
	}
	return make([]byte, size)
}

// takeIdle is Get where a buffer is idle, else nil.
func (b *Buffers) takeIdle(size int) []byte {
	class, ok := classOf(size)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.idle[class]) == 0 {
		return nil
	}
	return b.popLocked(class)[:size]
}

// popLocked takes an idle buffer of a class that has some. Nothing of it stays behind: it is
// large, and no longer counted.
func (b *Buffers) popLocked(class int) []byte {
	idle := b.mu.idle[class]
	buf := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	b.mu.idle[class] = idle[:len(idle)-1]
	b.mu.bytes -= int64(cap(buf))
	return buf
}

// Put takes a buffer back, one of Get or any other. The caller must not use it any more.
func (b *Buffers) Put(buf []byte) {
	class, ok := classBelow(cap(buf))
	if !ok {
		return
	}
	size := classBytes(class)
	buf = buf[:0:size]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.makeRoomLocked(class, int64(size))
	if b.mu.bytes+int64(size) > b.idleBytesMax {
		return
	}
	b.mu.idle[class] = append(b.mu.idle[class], buf)
	b.mu.bytes += int64(size)
}

// makeRoomLocked lets go of other classes' buffers, so that those that nobody asks for
// any more don't keep out the others.
func (b *Buffers) makeRoomLocked(class int, size int64) {
	for other := range b.mu.idle {
		for other != class && b.mu.bytes+size > b.idleBytesMax && len(b.mu.idle[other]) > 0 {
			b.popLocked(other)
		}
	}
}

// IdleBytes returns the bytes kept for reuse.
func (b *Buffers) IdleBytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.bytes
}

// classBytes is the capacity of a class: 4 KiB × 1, 1⅛ … 1⅞, 2, 2¼ …
func classBytes(class int) int {
	size := classBytesMin << (class / classesDoubling)
	return size + size/classesDoubling*(class%classesDoubling)
}

// classOf is the smallest class that holds size bytes.
func classOf(size int) (int, bool) {
	if size > classBytesMax {
		return 0, false
	}
	if size <= classBytesMin {
		return 0, true
	}
	doubling := bits.Len(uint(size-1)/classBytesMin) - 1 // size > classBytesMin<<doubling
	base := classBytesMin << doubling
	step := base / classesDoubling
	return classesDoubling*doubling + (size-base+step-1)/step, true
}

// classBelow is the largest class that size bytes hold; none for a buffer that no class made.
func classBelow(size int) (int, bool) {
	class, ok := classOf(size)
	if ok && classBytes(class) > size {
		class--
	}
	return class, ok && class >= 0
}
