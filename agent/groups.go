package agent

import (
	"strings"
	"time"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/agent/group"
	"github.com/wadi-io/wadi/metastore"
)

// newGroups makes the coordinator of a term.
func (a *Agent) newGroups(p *process, w *metastore.Writer) (*group.Coordinator, error) {
	ms := func(name string) time.Duration { return time.Duration(a.settings.Int64(name)) * time.Millisecond }
	cfg := group.DefaultConfig(p.store.Cluster().Groups)
	cfg.SessionMin = ms("group.min.session.timeout.ms")
	cfg.SessionMax = ms("group.max.session.timeout.ms")
	cfg.InitialRebalanceDelay = ms("group.initial.rebalance.delay.ms")
	cfg.GroupSizeMax = int(a.settings.Int64("group.max.size"))
	cfg.ConsumerSession = ms("group.consumer.session.timeout.ms")
	cfg.ConsumerHeartbeat = ms("group.consumer.heartbeat.interval.ms")
	cfg.ConsumerSizeMax = int(a.settings.Int64("group.consumer.max.size"))
	cfg.Assignors = strings.Split(a.settings.String("group.consumer.assignors"), ",")
	policy := strings.ToLower(a.settings.String("group.consumer.migration.policy"))
	cfg.Upgrades = policy == "upgrade" || policy == "bidirectional"
	cfg.Downgrades = policy == "downgrade" || policy == "bidirectional"
	cfg.Retention = time.Duration(a.settings.Int64("offsets.retention.minutes")) * time.Minute
	cfg.SweepEvery = ms("offsets.retention.check.interval.ms")
	return group.New(cfg, group.Deps{
		Writer:   w,
		Follower: p.follower,
		Catalog:  p.follower.Replica(metastore.CatalogJournal),
		Clock:    p.clock.now,
		Log:      a.cfg.Log,
		Owns:     func(i int) bool { return p.members.View().Coordinates(metastore.GroupsJournal(i)) },
		Settled:  func(i int) bool { return p.members.View().Settled(metastore.GroupsJournal(i)) },
		Changed:  p.members.Changed,
		Shared:   a.cfg.Folder == "",
		Level:    p.level,

		ConsumerTimes: broker.ConsumerTimes(p.follower.Replica(metastore.CatalogJournal)),
	})
}
