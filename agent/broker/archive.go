package broker

import (
	"strconv"
	"time"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/columns"
	"github.com/wadi-io/wadi/wire"
)

// configSchema is the topic config that declares the archive's typed columns.
const configSchema = "wadi.archive.schema"

// Archive is what a topic's configs say of its archive.
type Archive struct {
	Topic     string        // its name
	On        bool          // wadi.archive is parquet
	Value     string        // wadi.archive.value
	Schema    string        // wadi.archive.schema
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
		Topic: t.Name, On: value("wadi.archive") == "parquet", Value: value("wadi.archive.value"), Schema: value(configSchema),
		Every:     duration("wadi.archive.interval.ms", time.Duration(ageMax)*time.Millisecond),
		Retention: duration("wadi.archive.retention.ms", -1),
	}
}

// checkSchemaChange refuses configs of a topic by which a column of its archive would change its type.
func checkSchemaChange(from, to map[string]string) error {
	was, err := columns.Parse(from[configSchema])
	if err != nil {
		return nil // written by something that did not check it
	}
	next, err := columns.Parse(to[configSchema])
	if err == nil {
		err = columns.CheckChange(was, next)
	}
	if err != nil {
		return refuse(wire.CodeInvalidConfig, "Invalid value for configuration %s: %v", configSchema, err)
	}
	return nil
}
