package wire

import (
	"runtime"
	"runtime/debug"
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

// TestFramePool_SwingingLoad: a load whose frames in flight come to 80 MiB and fall to 16 again and again makes
// few anew while nothing is collected.
func TestFramePool_SwingingLoad(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const size, most, least, swings = 1 << 20, 80, 16, 6
	p := &framePool{}
	made := map[*Frame]bool{}
	var used []*Frame
	for range swings {
		for len(used) < most {
			f := p.get(size)
			made[f] = true
			used = append(used, f)
		}
		for len(used) > least {
			used[0].Release()
			used = used[1:]
		}
	}
	// Without those beyond what is kept for sure, each swing makes 40. (The race detector has a sync.Pool lose a quarter.)
	if len(made) > 2*most {
		t.Errorf("%d frames were made", len(made))
	}
}
