package broker

import "fmt"

// groupSetting is a config of a group. Its default is that of the broker config behind it.
type groupSetting struct {
	Setting
	behind          string // broker config; empty: none
	lowest, highest string // broker configs that bound a value that is set; empty: none
}

// groupSettings are the group configs of Apache Kafka 4.2, by name.
var groupSettings = []groupSetting{
	{Setting{"consumer.heartbeat.interval.ms", integer, "5000", atLeast(1), acted, "How often the group's members of the consumer group protocol are told to send heartbeats."},
		"group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{Setting{"consumer.session.timeout.ms", integer, "45000", atLeast(1), acted, "A member of the consumer group protocol that sends no heartbeat for so long is removed from the group."},
		"group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{Setting{"share.auto.offset.reset", text, "latest", shareReset, noShare, ""}, "", "", ""},
	{Setting{"share.heartbeat.interval.ms", integer, "5000", atLeast(1), noShare, ""},
		"group.share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{Setting{"share.isolation.level", text, "read_uncommitted", oneOf("read_committed", "read_uncommitted"), noShare, ""}, "", "", ""},
	{Setting{"share.record.lock.duration.ms", integer, "30000", atLeast(1000), noShare, ""},
		"group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{Setting{"share.session.timeout.ms", integer, "45000", atLeast(1), noShare, ""},
		"group.share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{Setting{"streams.heartbeat.interval.ms", integer, "5000", atLeast(1), noShare, ""},
		"group.streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{Setting{"streams.initial.rebalance.delay.ms", integer, "3000", atLeast(0), noShare, ""},
		"group.streams.initial.rebalance.delay.ms", "", ""},
	{Setting{"streams.num.standby.replicas", integer, "0", atLeast(0), noShare, ""},
		"group.streams.num.standby.replicas", "", "group.streams.max.standby.replicas"},
	{Setting{"streams.session.timeout.ms", integer, "45000", atLeast(1), noShare, ""},
		"group.streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
}

// GroupSettings returns the group configs by name.
func GroupSettings() []Setting {
	all := make([]Setting, len(groupSettings))
	for i := range groupSettings {
		all[i] = groupSettings[i].Setting
	}
	return all
}

// groupTimes holds the broker's time-outs of groups against each other, as Apache Kafka
// does at its start.
func (s *Settings) groupTimes() error {
	const notBelow, notAbove, below = "must be greater than or equal to", "must be less than or equal to", "must be less than"
	for _, kind := range []string{"consumer", "share", "streams"} {
		name := func(of string) string { return "group." + kind + "." + of + ".ms" }
		for _, rule := range []struct{ left, is, right string }{
			{"max.heartbeat.interval", notBelow, "min.heartbeat.interval"},
			{"heartbeat.interval", notBelow, "min.heartbeat.interval"},
			{"heartbeat.interval", notAbove, "max.heartbeat.interval"},
			{"max.session.timeout", notBelow, "min.session.timeout"},
			{"session.timeout", notBelow, "min.session.timeout"},
			{"session.timeout", notAbove, "max.session.timeout"},
			{"heartbeat.interval", below, "session.timeout"},
		} {
			left, right := s.Int64(name(rule.left)), s.Int64(name(rule.right))
			if holds := map[string]bool{notBelow: left >= right, notAbove: left <= right, below: left < right}[rule.is]; !holds {
				return fmt.Errorf("%s (%d) %s %s (%d)", name(rule.left), left, rule.is, name(rule.right), right)
			}
		}
	}
	return nil
}
