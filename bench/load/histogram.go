package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets whose width is at most 1/64 of their value, as
// HdrHistogram does. The zero value is ready; it isn't safe for several goroutines.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
}

const (
	subBits = 6 // of a power of two's buckets
	subs    = 1 << subBits
	topBits = 40 // 2⁴⁰ ns are 18 minutes; what is longer counts as that
	buckets = (topBits - subBits + 1) * subs
)

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v >= 1<<topBits {
		v = 1<<topBits - 1
	}
	if v < subs {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)*subs + int(v>>shift) - subs
}

// upper is the largest duration of a bucket.
func upper(bucket int) time.Duration {
	if bucket < subs {
		return time.Duration(bucket)
	}
	shift := bucket/subs - 1
	return time.Duration((uint64(bucket%subs+subs)+1)<<shift - 1)
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

// Count is how many were added.
func (h *Histogram) Count() int { return int(h.total) }

// Merge adds all of another's.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// since is what was added between two states of a histogram.
func (h *Histogram) since(before *Histogram) (d Histogram) {
	for i := range d.counts {
		d.counts[i] = h.counts[i] - before.counts[i]
	}
	d.total = h.total - before.total
	return d
}

// Quantile is the duration that a share q of all don't exceed, within 1.6 %; 0 for none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	if rank >= h.total {
		rank = h.total - 1
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}
