package broker

import (
	"strconv"
	"time"

	"github.com/wadi-io/wadi/metastore/catalog"
)

// Archive is what a topic's configs say of its archive.
type Archive struct {
	Topic     string        // its name
	On        bool          // wadi.archive is parquet
	Value     string        // wadi.archive.value
	Every     time.Duration // wadi.archive.interval.ms
	Retention time.Duration // wadi.archive.retention.ms; negative: for ever
}

// Archive returns a topic's.
func (s *Settings) Archive(t *catalog.Topic) Archive {
	value := func(name string) string {
		if v, ok := t.Configs[name]; ok {
			return v
		}
		return s.topicDefault(topicSetting(name))
	}
	duration := func(name string, otherwise time.Duration) time.Duration {
		if ms, err := strconv.ParseInt(value(name), 10, 64); err == nil && ms >= 0 && ms < ageMax {
			return time.Duration(ms) * time.Millisecond
		}
		return otherwise
	}
	return Archive{
		Topic: t.Name, On: value("wadi.archive") == "parquet", Value: value("wadi.archive.value"),
		Every:     duration("wadi.archive.interval.ms", time.Duration(ageMax)*time.Millisecond),
		Retention: duration("wadi.archive.retention.ms", -1),
	}
}
