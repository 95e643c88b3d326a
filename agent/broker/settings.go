package broker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Setting is a config under its Apache Kafka name.
type Setting struct {
	Name    string
	Type    Type
	Default string // Apache Kafka's, unless Doc says otherwise; null: none
	check   check  // nil: every value of the type
	effect  effect
	doc     string // where it is acted on
}

// null is the default of a config that has no value.
const null = "\x00"

// effect says whether a config does anything, and why not.
type effect int

const (
	acted effect = iota
	fixed        // shown; decided elsewhere than by a config
	noFiles
	noReplicas
	noController
	noCompaction
	noRoll
	noTiers
	noGroups
	noShare
	noTransactions
	noSecurity
	noQuotas
	noPlugins
	ownMetrics
	ownLimits
)

// withoutEffect says why configs are accepted and do nothing.
var withoutEffect = map[effect]string{
	noFiles:        "Without effect: the log lies in a bucket as immutable segments, not in files of a broker.",
	noReplicas:     "Without effect: a batch is durable in the bucket before it is acknowledged, so there are no replicas to keep up.",
	noController:   "Without effect: the metastore orders changes, so there is no controller quorum.",
	noCompaction:   "Without effect: one pass of key compaction runs at a time in an agent, at --compaction-rate, through buffers of its own.",
	noRoll:         "Without effect: there is no active segment to roll. What expires goes as coarsely as it was written: a flush's batches of a partition, or about 1 MiB of merged ones (segment.ms).",
	noTiers:        "Without effect: all of the log lies in a bucket, so there is no second tier.",
	noGroups:       "Without effect: groups lie in journals of the metastore, not in a topic.",
	noShare:        "Without effect: share groups and streams groups are not served.",
	noTransactions: "Without effect: transactional ids lie in journals of the metastore, not in a topic, and each produce is verified.",
	noSecurity:     "Without effect so far: listeners are plain text and without authentication.",
	noQuotas:       "Without effect so far: quotas are not enforced yet.",
	noPlugins:      "Without effect: plug-ins of the Java broker can't be loaded.",
	ownMetrics:     "Without effect: metrics are served in Prometheus's form on the HTTP port.",
	ownLimits:      "Without effect: an agent has limits of its own and no pools of threads.",
}

// Doc says what the config does, or why it does nothing.
func (s *Setting) Doc() string {
	if s.effect == acted || s.effect == fixed {
		return s.doc
	}
	return withoutEffect[s.effect]
}

// HasEffect tells whether a value set for the config changes anything.
func (s *Setting) HasEffect() bool { return s.effect == acted }

// Sensitive tells whether its value must not be shown.
func (s *Setting) Sensitive() bool { return s.Type == password }

// Parse returns a value in canonical form, or why the config can't have it.
func (s *Setting) Parse(value string) (string, error) {
	canonical, err := s.Type.canonical(value)
	if err == nil && s.check != nil {
		err = s.check(s.Type, canonical)
	}
	if err != nil {
		shown := value
		if s.Sensitive() {
			shown = "[hidden]"
		}
		//lint:ignore ST1005 Kafka's sentence
		return "", fmt.Errorf("Invalid value %s for configuration %s: %w", shown, s.Name, err)
	}
	return canonical, nil
}

// BrokerSettings returns the broker configs by name.
func BrokerSettings() []Setting { return slices.Concat(brokerSettingsAToL, brokerSettingsLToZ) }

// TopicSettings returns the topic configs by name.
func TopicSettings() []Setting { return slices.Clone(topicSettings) }

// find returns the setting with a name in a table that is sorted by name, or nil.
func find(table []Setting, name string) *Setting {
	i, ok := slices.BinarySearchFunc(table, name, func(s Setting, name string) int { return strings.Compare(s.Name, name) })
	if !ok {
		return nil
	}
	return &table[i]
}

func brokerSetting(name string) *Setting {
	if s := find(brokerSettingsAToL, name); s != nil {
		return s
	}
	return find(brokerSettingsLToZ, name)
}

func topicSetting(name string) *Setting { return find(topicSettings, name) }

// Settings are the broker configs in force. They don't change.
type Settings struct {
	set map[string]string // canonical values of the configs that were set
}

// DefaultSettings returns the defaults.
func DefaultSettings() *Settings { return &Settings{} }

// ParseSettings returns the defaults with some values replaced, after checking
// these as Apache Kafka does; its error names the config.
func ParseSettings(values map[string]string) (*Settings, error) {
	set := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s := brokerSetting(name)
		switch {
		case s == nil && topicSetting(name) != nil && len(topicSynonyms[name]) > 0:
			return nil, fmt.Errorf("%s is a topic config; the broker config behind it is %s", name, topicSynonyms[name][0].name)
		case s == nil:
			return nil, fmt.Errorf("there is no broker config %q", name)
		case s.effect == fixed:
			return nil, fmt.Errorf("%s can't be set as a config: %s", name, s.doc)
		}
		value, err := s.Parse(values[name])
		if err != nil {
			return nil, err
		}
		set[name] = value
	}
	settings := &Settings{set: set}
	if err := settings.groupTimes(); err != nil {
		return nil, err
	}
	return settings, nil
}

// Values returns the values that were set, by name.
func (s *Settings) Values() map[string]string { return maps.Clone(s.set) }

// WithoutEffect returns the names of the configs that were set and change nothing.
func (s *Settings) WithoutEffect() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.set)) {
		if !brokerSetting(name).HasEffect() {
			names = append(names, name)
		}
	}
	return names
}

// String returns the value of the broker config with a name, which must be one;
// empty where it has none.
func (s *Settings) String(name string) string {
	value, _ := s.lookup(name)
	return value
}

func (s *Settings) lookup(name string) (value string, ok bool) {
	if value, ok := s.set[name]; ok {
		return value, true
	}
	if d := brokerSetting(name).Default; d != null {
		return d, true
	}
	return "", false
}

// Bool is String of a boolean config.
func (s *Settings) Bool(name string) bool { return s.String(name) == "true" }

// Int64 is String of a config that is a whole number and has a value.
func (s *Settings) Int64(name string) int64 {
	n, err := strconv.ParseInt(s.String(name), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("config %s is not a number: %v", name, err)) // a bug: canonical values of number types parse
	}
	return n
}

// topicDefault returns the value of a topic config that a topic does not set: the
// first of its synonyms that has a value, else its own default.
func (s *Settings) topicDefault(setting *Setting) string {
	for _, syn := range topicSynonyms[setting.Name] {
		if value, ok := s.lookup(syn.name); ok {
			return syn.value(value)
		}
	}
	return setting.Default
}

// value converts the synonym's value to the topic config's unit.
func (y synonym) value(v string) string {
	if y.factor == 1 {
		return v
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return v // −1 hours means no limit, as −1 ms does
	}
	return strconv.FormatInt(n*y.factor, 10)
}
