package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/cluster"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire"
)

// view is the cluster as this agent sees it now. It always has agents to name: while
// no term is known there, this one is alone.
func (b *Broker) view() *cluster.View {
	if v := b.deps.View(); len(v.Named()) > 0 {
		return v
	}
	return b.alone
}

// aloneView is the view of an agent that knows of no others.
func aloneView(cfg Config) *cluster.View {
	return cluster.NewView(cfg.NodeID, cfg.Shards, []cluster.Agent{{Node: cfg.NodeID, Seat: 1, AgentInfo: metastore.AgentInfo{
		Zone: cfg.Rack, KafkaHost: cfg.Host, KafkaPort: cfg.Port, Roles: metastore.RolesAll, Level: metastore.FeatureLevel,
	}}})
}

// zone is the zone that a client is taken to be in, one that has agents; "" for none. Its id says it, else its address.
func (b *Broker) zone(r *wire.Request, v *cluster.View) string {
	if zone := v.ZoneOf(cluster.SaidZone(r.ClientID)); v.HasZone(zone) {
		return zone
	}
	if len(b.cfg.ClientZones) > 0 {
		if zone := b.cfg.ClientZones.Zone(r.Conn.RemoteAddr()); v.HasZone(zone) {
			return zone
		}
	}
	return ""
}

// controller is the node id that clients take for the controller's, which any agent can
// be: this one, unless clients are to leave it.
func (b *Broker) controller(v *cluster.View) int32 {
	if v.Agent(b.cfg.NodeID) != nil {
		return b.cfg.NodeID
	}
	return v.Named()[0].Node
}

// rackOf returns an agent's rack, nil for none.
func rackOf(a *cluster.Agent) *string {
	if a.Zone == "" {
		return nil
	}
	return kmsg.StringPtr(a.Zone)
}

// known tells whether clients may name a node.
func (b *Broker) known(node int32) bool {
	return node == b.cfg.NodeID || b.view().Agent(node) != nil
}
