package catalog

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/wadi-io/wadi/metastore"
)

// Describe returns an effect in words, on one line.
func Describe(kind metastore.EffectKind, body []byte) (string, error) {
	d := &metastore.Decoder{Rest: body}
	var text string
	switch kind {
	case metastore.EffectTopicCreated:
		text = "topic-created " + describeTopic(decodeTopic(d, d.Uvarint()))
	case metastore.EffectTopicDeleted:
		text = fmt.Sprintf("topic-deleted number=%d", d.Uvarint())
	case metastore.EffectTopicConfig:
		text = fmt.Sprintf("topic-config number=%d configs={%s}", d.Uvarint(), describeConfigs(decodeConfigs(d)))
	case metastore.EffectPartitionsAdded:
		text = fmt.Sprintf("partitions-added number=%d partitions=%d", d.Uvarint(), decodeCount(d))
	case metastore.EffectFeatureLevel:
		text = fmt.Sprintf("feature-level level=%d", decodeLevel(d))
	case metastore.EffectGroupConfig:
		text = fmt.Sprintf("group-config id=%q configs={%s}", d.String(), describeConfigs(decodeConfigs(d)))
	case metastore.EffectProducerIDs:
		text = fmt.Sprintf("producer-ids count=%d", d.Uvarint())
	default:
		d.Fail(fmt.Sprintf("the catalog has no %v", kind))
	}
	if err := atEnd(d); err != nil {
		return "", err
	}
	return text, nil
}

func describeTopic(t *Topic) string {
	return fmt.Sprintf("number=%d id=%x name=%q partitions=%d first-shard=%d created=%d configs={%s}",
		t.Number, t.ID, t.Name, t.Partitions, t.FirstShard, t.CreatedAt, describeConfigs(t.Configs))
}

func describeConfigs(configs map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		parts = append(parts, fmt.Sprintf("%q=%q", name, configs[name]))
	}
	return strings.Join(parts, " ")
}

// Dump writes the state in words.
func (s *State) Dump(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "next topic %d, next producer %d\n", s.nextTopic, s.nextProducer)
	if s.level > metastore.LevelFirst {
		fmt.Fprintf(&b, "feature level %d\n", s.level)
	}
	for _, t := range s.numbered() {
		b.WriteString("topic " + describeTopic(t) + "\n")
	}
	for _, group := range s.ConfiguredGroups() {
		fmt.Fprintf(&b, "group %q configs={%s}\n", group, describeConfigs(s.GroupConfigs(group)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
