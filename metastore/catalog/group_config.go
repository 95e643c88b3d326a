package catalog

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/wadi-io/wadi/metastore"
)

// GroupIDBytesMax bounds the id of a group, as Kafka's protocol does.
const GroupIDBytesMax = 32767

// ConfiguredGroupsMax bounds the groups that have configs. The writer refuses what would
// pass it; beyond it the catalog stops.
const ConfiguredGroupsMax = 100_000

// groupConfigBytesMin is the shortest coding of a group's configs in a snapshot.
const groupConfigBytesMin = 2 + 1 + configBytesMin

// config is one config; a group's are few, so they are kept in a list by name.
type config struct{ name, value string }

// AppendGroupConfig appends the effect that replaces all configs set for a group, at
// most ConfigsMax; none takes the group out of the catalog. It panics on more, and on an id
// that no group can have.
func AppendGroupConfig(dst []byte, group string, configs map[string]string) []byte {
	if len(configs) > ConfigsMax || group == "" || len(group) > GroupIDBytesMax {
		panic(fmt.Sprintf("%d configs of a group with an id of %d bytes", len(configs), len(group)))
	}
	body := metastore.AppendBytes(nil, group)
	return metastore.AppendEffect(dst, metastore.EffectGroupConfig, appendConfigs(body, configs))
}

func decodeGroupConfig(d *metastore.Decoder) (group string, configs []config) {
	group = d.String()
	if d.Err == nil && (group == "" || len(group) > GroupIDBytesMax) {
		d.Fail("id of a group out of range")
	}
	set := decodeConfigs(d)
	if len(set) == 0 {
		return group, nil
	}
	configs = make([]config, 0, len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		configs = append(configs, config{name, set[name]})
	}
	return group, configs
}

func (s *State) applyGroupConfig(d *metastore.Decoder) error {
	group, configs := decodeGroupConfig(d)
	if err := atEnd(d); err != nil {
		return err
	}
	if len(configs) == 0 {
		delete(s.groups, group)
		return nil
	}
	if s.groups[group] == nil && len(s.groups) >= ConfiguredGroupsMax {
		return fmt.Errorf("more than %d groups have configs: a bug", ConfiguredGroupsMax)
	}
	s.groups[group] = configs
	return nil
}

// GroupConfigs returns the configs set for a group, nil for none.
func (s *State) GroupConfigs(group string) map[string]string { return asMap(s.groups[group]) }

// ConfiguredGroups returns the groups that have configs, by id.
func (s *State) ConfiguredGroups() []string { return slices.Sorted(maps.Keys(s.groups)) }

// ConfiguredGroupsCount returns how many groups have configs.
func (s *State) ConfiguredGroupsCount() int { return len(s.groups) }

func asMap(configs []config) map[string]string {
	if len(configs) == 0 {
		return nil
	}
	set := make(map[string]string, len(configs))
	for _, c := range configs {
		set[c.name] = c.value
	}
	return set
}

// appendGroups appends the section of a snapshot that holds the groups' configs.
func (s *State) appendGroups(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.groups)))
	for _, group := range s.ConfiguredGroups() {
		dst = metastore.AppendBytes(dst, group)
		dst = appendConfigs(dst, asMap(s.groups[group]))
	}
	return dst
}

func (s *State) decodeGroups(d *metastore.Decoder) {
	n := d.Count(groupConfigBytesMin)
	if d.Err == nil && (n == 0 || n > ConfiguredGroupsMax) {
		d.Fail("number of configured groups out of range")
	}
	before := ""
	for range n {
		group, configs := decodeGroupConfig(d)
		if d.Err != nil {
			return
		}
		if group <= before || len(configs) == 0 {
			d.Fail("configured groups out of order")
			return
		}
		s.groups[group], before = configs, group
	}
}
