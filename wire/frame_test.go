package wire

import (
	"runtime"
	"testing"
	"weak"
)

// TestFramePool_KeepsNoMoreThanItCounts: frames that made room for those of another size
// are the collector's.
func TestFramePool_KeepsNoMoreThanItCounts(t *testing.T) {
	const small, large = 1 << 20, 4 << 20
	p := &framePool{}
	var seen []weak.Pointer[Frame]
	fill := func(size int) {
		frames := make([]*Frame, idleFrameBytesMax/size)
		for i := range frames {
			frames[i] = p.get(size)
			seen = append(seen, weak.Make(frames[i]))
		}
		for _, f := range frames {
			f.Release()
		}
	}
	for _, size := range []int{small, large, small} {
		fill(size)
		if got := p.idleBytes(); got != idleFrameBytesMax {
			t.Errorf("%d bytes are counted as kept", got)
		}
		runtime.GC()
		var kept int
		for _, w := range seen {
			if f := w.Value(); f != nil {
				kept += len(f.room)
			}
		}
		if kept > idleFrameBytesMax {
			t.Errorf("%d bytes are kept, after frames of %d", kept, size)
		}
	}
	runtime.KeepAlive(p)
}
