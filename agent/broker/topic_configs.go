package broker

import (
	"slices"
	"strconv"
	"sync"

	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
	"github.com/wadi-io/wadi/wire/batch"
)

// topicConfigsCachedMax bounds the topics whose parsed configs are kept; beyond it
// the cache begins anew.
const topicConfigsCachedMax = 1 << 16

// produceConfig is what the configs of a topic say about its batches.
type produceConfig struct {
	batchBytesMax int64
	logAppendTime bool
	beforeMaxMs   int64
	afterMaxMs    int64
	keyed         bool // records need keys: the topic is compacted
	recompress    bool // batches are stored in codec, not as their producer compressed them
	codec         batch.Codec
	level         int // of codec
}

// topicConfigs gives the effective configs of topics.
type topicConfigs struct {
	settings *Settings
	defaults produceConfig // of a topic that sets none
	mu       struct {
		sync.RWMutex
		parsed map[uint64]parsedTopic // by topic number
	}
}

type parsedTopic struct {
	topic  *catalog.Topic // a change puts another in its place
	config *produceConfig
}

func (c *topicConfigs) init(s *Settings) {
	c.settings = s
	c.defaults = c.parse(&catalog.Topic{})
	c.mu.parsed = map[uint64]parsedTopic{}
}

// produce returns what a topic's configs say about its batches.
func (c *topicConfigs) produce(t *catalog.Topic) *produceConfig {
	if len(t.Configs) == 0 {
		return &c.defaults
	}
	c.mu.RLock()
	p := c.mu.parsed[t.Number]
	c.mu.RUnlock()
	if p.topic == t {
		return p.config
	}
	config := c.parse(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.parsed) >= topicConfigsCachedMax {
		clear(c.mu.parsed)
	}
	c.mu.parsed[t.Number] = parsedTopic{t, &config}
	return &config
}

func (c *topicConfigs) parse(t *catalog.Topic) produceConfig {
	p := produceConfig{
		batchBytesMax: c.number(t, "max.message.bytes"),
		logAppendTime: c.value(t, "message.timestamp.type") == "LogAppendTime",
		beforeMaxMs:   c.number(t, "message.timestamp.before.max.ms"),
		afterMaxMs:    c.number(t, "message.timestamp.after.max.ms"),
		keyed:         slices.Contains(splitList(c.value(t, "cleanup.policy")), "compact"),
	}
	p.recompress, p.codec, p.level = c.codec(t)
	return p
}

// codec returns in what a topic's batches are stored; false: as their producer compressed them.
func (c *topicConfigs) codec(t *catalog.Topic) (recompress bool, codec batch.Codec, level int) {
	switch c.value(t, "compression.type") {
	case "uncompressed":
		return true, batch.None, 0
	case "gzip":
		return true, batch.Gzip, int(c.number(t, "compression.gzip.level"))
	case "snappy":
		return true, batch.Snappy, 0
	case "lz4":
		return true, batch.LZ4, int(c.number(t, "compression.lz4.level"))
	case "zstd":
		return true, batch.Zstd, int(c.number(t, "compression.zstd.level"))
	}
	return false, batch.None, 0
}

// value returns the effective value of a topic config.
func (c *topicConfigs) value(t *catalog.Topic, name string) string {
	if value, ok := t.Configs[name]; ok {
		return value
	}
	return c.settings.topicDefault(topicSetting(name))
}

func (c *topicConfigs) number(t *catalog.Topic, name string) int64 {
	n, err := strconv.ParseInt(c.value(t, name), 10, 64)
	if err != nil {
		n, _ = strconv.ParseInt(topicSetting(name).Default, 10, 64) // written by something that did not check it
	}
	return n
}

// check validates the configs that a topic shall have and returns them in
// canonical form. bytesMax bounds names and values together.
func (c *topicConfigs) check(values map[string]string, bytesMax int) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	t := catalog.Topic{Configs: make(map[string]string, len(values))}
	size := 0
	for name, value := range values {
		s := topicSetting(name)
		if s == nil {
			return nil, refuse(wire.CodeInvalidConfig, "Unknown topic config name: %s", name)
		}
		canonical, err := s.Parse(value)
		if err != nil {
			return nil, refuse(wire.CodeInvalidConfig, "%v", err)
		}
		t.Configs[name] = canonical
		if size += len(name) + len(canonical); size > bytesMax {
			return nil, refuse(wire.CodeInvalidConfig, "The configs of a topic are limited to %d bytes.", bytesMax)
		}
	}
	lag, lagMax := c.number(&t, "min.compaction.lag.ms"), c.number(&t, "max.compaction.lag.ms")
	if lag > lagMax {
		return nil, refuse(wire.CodeInvalidConfig,
			"conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", lag, lagMax)
	}
	if c.value(&t, "remote.storage.enable") == "true" {
		return nil, refuse(wire.CodeInvalidConfig, "Tiered Storage functionality is disabled in the broker.")
	}
	return t.Configs, nil
}
