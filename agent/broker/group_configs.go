package broker

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// The group configs that the coordinator acts on.
const (
	configConsumerSession   = "consumer.session.timeout.ms"
	configConsumerHeartbeat = "consumer.heartbeat.interval.ms"
)

// ConsumerTimes returns what a catalog's configs of a group say about its members of the
// consumer group protocol; 0: nothing. It is made for group.Deps.
func ConsumerTimes(replica *metastore.Replica) func(group string) (session, heartbeat time.Duration) {
	return func(group string) (session, heartbeat time.Duration) {
		var configs map[string]string
		metastore.View(replica, func(s *catalog.State) { configs = s.GroupConfigs(group) })
		ms := func(name string) time.Duration {
			n, err := strconv.ParseInt(configs[name], 10, 32)
			if err != nil || n < 1 {
				return 0 // not set
			}
			return time.Duration(n) * time.Millisecond
		}
		return ms(configConsumerSession), ms(configConsumerHeartbeat)
	}
}

// groupSettingNamed returns the group config with a name, or nil.
func groupSettingNamed(name string) *groupSetting {
	i, ok := slices.BinarySearchFunc(groupSettings, name, func(s groupSetting, name string) int { return strings.Compare(s.Name, name) })
	if !ok {
		return nil
	}
	return &groupSettings[i]
}

// groupDefault is the value of a group config that a group doesn't set.
func (s *Settings) groupDefault(g *groupSetting) string {
	if g.behind == "" {
		return g.Default
	}
	return s.String(g.behind)
}

// describeGroup returns the configs of a group, known or not, by name.
func (b *Broker) describeGroup(group string, synonyms bool) ([]described, error) {
	if group == "" {
		return nil, refuse(wire.CodeInvalidRequest, "Group name must not be empty")
	}
	var configs map[string]string
	b.viewCatalog(func(s *catalog.State) { configs = s.GroupConfigs(group) })
	all := make([]described, 0, len(groupSettings))
	for i := range groupSettings {
		g := &groupSettings[i]
		def := b.cfg.Settings.groupDefault(g)
		d := described{setting: &g.Setting, value: &def, withSynonyms: synonyms}
		if value, set := configs[g.Name]; set {
			d.value = &value
			d.add(g.Name, &value, kmsg.ConfigSourceGroupConfig)
		} else { // as in Kafka: one or the other
			d.add(g.Name, &def, kmsg.ConfigSourceDefaultConfig)
		}
		all = append(all, d)
	}
	return all, nil
}

// decideGroupConfigs decides one group's alteration on a state.
func (b *Broker) decideGroupConfigs(s *catalog.State, w *alteration, d *drafts) {
	if b.level() < metastore.LevelOf(metastore.EffectGroupConfig) {
		w.err = refuse(wire.CodeUnsupportedVersion, "Groups have no configs until all agents of the cluster are of the newer release.")
		return
	}
	now := s.GroupConfigs(w.name)
	next, err := w.bounded(now)
	if err == nil {
		next, err = b.checkGroupConfigs(next)
	}
	if w.err = err; err != nil {
		return
	}
	if now == nil && next != nil && s.ConfiguredGroupsCount()+d.groups >= catalog.ConfiguredGroupsMax {
		w.err = refuse(wire.CodePolicyViolation, "%d groups have configs, which is the limit.", catalog.ConfiguredGroupsMax)
		return
	}
	if !maps.Equal(next, now) {
		d.catalog = catalog.AppendGroupConfig(d.catalog, w.name, next)
		d.groups++
	}
}

// checkGroupConfigs validates the configs that a group shall have and returns them in
// canonical form, nil for none.
func (b *Broker) checkGroupConfigs(values map[string]string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	configs := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		g := groupSettingNamed(name)
		if g == nil {
			return nil, refuse(wire.CodeInvalidConfig, "Unknown group config name: %s", name)
		}
		canonical, err := g.Parse(values[name])
		if err == nil {
			err = b.withinBounds(g, canonical)
		}
		if err != nil {
			return nil, refuse(wire.CodeInvalidConfig, "%v", err)
		}
		configs[name] = canonical
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if b.groupNumber(configs, session) <= b.groupNumber(configs, heartbeat) {
			return nil, refuse(wire.CodeInvalidConfig, "%s must be greater than %s", session, heartbeat)
		}
	}
	return configs, nil
}

// groupNumber is the value in force of a group config that is a number.
func (b *Broker) groupNumber(configs map[string]string, name string) int64 {
	value, set := configs[name]
	if !set {
		value = b.cfg.Settings.groupDefault(groupSettingNamed(name))
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("group config %s is %q: %v", name, value, err)) // a bug: canonical values of number types parse
	}
	return n
}

// withinBounds holds a group config against the broker configs that bound it.
func (b *Broker) withinBounds(g *groupSetting, canonical string) error {
	if g.lowest == "" && g.highest == "" {
		return nil
	}
	n, err := strconv.ParseInt(canonical, 10, 64)
	switch {
	case err != nil:
		return err
	case g.lowest != "" && n < b.cfg.Settings.Int64(g.lowest):
		return fmt.Errorf("%s must be greater than or equal to %s", g.Name, g.lowest)
	case g.highest != "" && n > b.cfg.Settings.Int64(g.highest):
		return fmt.Errorf("%s must be less than or equal to %s", g.Name, g.highest)
	}
	return nil
}

var durationBefore = regexp.MustCompile(`^by_duration:P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$`)

// shareReset takes latest, earliest, or by_duration: and an ISO 8601 duration that isn't below 0.
func shareReset(_ Type, value string) error {
	if value == "latest" || value == "earliest" {
		return nil
	}
	if !durationBefore.MatchString(value) || strings.HasSuffix(value, "P") || strings.HasSuffix(value, "T") {
		return errors.New("must be latest, earliest or by_duration:<ISO 8601 duration>")
	}
	return nil
}
