package broker

import (
	"slices"
	"strconv"
	"time"

	"github.com/wadi-io/wadi/metastore/catalog"
)

// Retention is what a topic's configs say of how long its records stay.
type Retention struct {
	Delete  bool          // cleanup.policy names delete: age and bytes apply
	Compact bool          // cleanup.policy names compact
	Age     time.Duration // retention.ms; negative: for ever
	Bytes   int64         // retention.bytes, of each partition; negative: unbounded

	Roll            time.Duration // segment.ms; negative: never
	DeleteRetention time.Duration // delete.retention.ms
	MinLag          time.Duration // min.compaction.lag.ms
	MaxLag          time.Duration // max.compaction.lag.ms; negative: no such age
	DirtyRatio      float64       // min.cleanable.dirty.ratio
}

// ageMax is taken for "for ever": a longer time can't be counted in nanoseconds.
const ageMax = int64(290 * 365 * 24 * time.Hour / time.Millisecond)

// Retention returns a topic's.
func (s *Settings) Retention(t *catalog.Topic) Retention {
	value := func(name string) string {
		if v, ok := t.Configs[name]; ok {
			return v
		}
		return s.topicDefault(topicSetting(name))
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(value(name), 10, 64)
		if err != nil {
			return -1 // written by something that did not check it: nothing is deleted for it
		}
		return n
	}
	policy := splitList(value("cleanup.policy"))
	r := Retention{Delete: slices.Contains(policy, "delete"), Compact: slices.Contains(policy, "compact"), Age: -1, Bytes: number("retention.bytes")}
	r.Roll = age(number("segment.ms"))
	r.Age, r.MaxLag = age(number("retention.ms")), age(number("max.compaction.lag.ms"))
	for name, to := range map[string]*time.Duration{"delete.retention.ms": &r.DeleteRetention, "min.compaction.lag.ms": &r.MinLag} {
		if *to = age(number(name)); *to < 0 {
			*to = time.Duration(ageMax) * time.Millisecond
		}
	}
	ratio, err := strconv.ParseFloat(value("min.cleanable.dirty.ratio"), 64)
	if r.DirtyRatio = ratio; err != nil {
		r.DirtyRatio = 1 // as above
	}
	return r
}

// age is a config's milliseconds as a duration, negative for ever.
func age(ms int64) time.Duration {
	if ms < 0 || ms >= ageMax {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}
