package broker

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/wire"
)

// AlterConfigs, versions 0–2: replaces all configs set for a resource (the
// incremental request has a file of its own).
//
// The new set of a topic is checked whole, as at its creation, and takes the place of
// the old one in an entry of the catalog: produce requests see it at once. Several
// topics share an append; a refused resource doesn't keep the others from changing.
//
// What differs from Apache Kafka:
//   - Broker configs don't change while an agent runs: an attempt to set one gets what Kafka
//     answers for a read-only one, INVALID_REQUEST. Unsetting them is no error, since none is set.
//   - Loggers and client metrics have no configs here: INVALID_REQUEST.
//   - A config that is without effect is taken where its documentation says so (DescribeConfigs).
//   - Names and values together are bounded by Limits: INVALID_CONFIG.

// configValueCharsMax bounds a config's value, as Kafka does.
const configValueCharsMax = math.MaxInt16

// alteration is what somebody wants of the configs of one resource, and what
// becomes of that.
type alteration struct {
	kind kmsg.ConfigResourceType
	name string
	set  []string // the names that get a value
	// next returns the configs that the resource shall have, of those set for it now.
	next func(now map[string]string) (map[string]string, error)
	err  error
}

func (b *Broker) handleAlterConfigs(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	wanted := make([]*alteration, len(req.Resources))
	for i := range req.Resources {
		wanted[i] = replacement(&req.Resources[i])
	}
	b.alter(ctx, wanted, req.ValidateOnly)
	resp.Resources = make([]kmsg.AlterConfigsResponseResource, len(wanted))
	for i, w := range wanted {
		out := &resp.Resources[i]
		out.Default()
		out.ResourceType, out.ResourceName = w.kind, w.name
		out.ErrorCode, out.ErrorMessage = codeOf(w.err), messageOf(w.err)
	}
	return wire.Answer{Message: resp}
}

// replacement is an alteration that leaves nothing of what was set.
func replacement(r *kmsg.AlterConfigsRequestResource) *alteration {
	w := &alteration{kind: r.ResourceType, name: r.ResourceName}
	values := make(map[string]string, len(r.Configs))
	var null []string
	for _, c := range r.Configs {
		if c.Value == nil {
			null = append(null, c.Name)
			continue
		}
		w.set = append(w.set, c.Name)
		values[c.Name] = *c.Value
	}
	w.err = checkNames(len(r.Configs), func(i int) string { return r.Configs[i].Name }, null)
	w.next = func(map[string]string) (map[string]string, error) { return values, nil }
	return w
}

// checkNames refuses configs that come twice, and those without a value.
func checkNames(count int, name func(i int) string, null []string) error {
	seen := make(map[string]struct{}, count)
	for i := range count {
		seen[name(i)] = struct{}{}
	}
	switch {
	case len(seen) < count:
		return refuse(wire.CodeInvalidRequest, "Error due to duplicate config keys")
	case len(null) > 0:
		return refuse(wire.CodeInvalidRequest, "Null value not supported for : %s", strings.Join(null, ", "))
	}
	return nil
}

// alter does what is wanted, or says what would become of it.
func (b *Broker) alter(ctx context.Context, wanted []*alteration, validateOnly bool) {
	refuseTwice(wanted)
	var changing []*alteration // topics and groups
	for _, w := range wanted {
		if w.err == nil {
			w.err = b.checkResource(w)
		}
		if w.err == nil && w.kind != kmsg.ConfigResourceTypeBroker {
			changing = append(changing, w)
		}
	}
	if len(changing) == 0 {
		return
	}
	if err := b.confirmCatalog(ctx); err != nil {
		for _, w := range changing {
			w.err = err
		}
		return
	}
	if validateOnly {
		b.viewCatalog(func(s *catalog.State) {
			for rest := changing; len(rest) > 0; {
				_, decided := b.decideConfigs(s, rest)
				rest = rest[decided:]
			}
		})
		return
	}
	for len(changing) > 0 {
		decided := 0
		_, err := b.change(ctx, func(s *catalog.State) []metastore.Draft {
			var d *drafts
			d, decided = b.decideConfigs(s, changing)
			return d.list()
		})
		if err != nil {
			b.tellFailed("configs could not be altered", err)
			if decided == 0 {
				decided = len(changing) // no turn came
			}
			for _, w := range changing[:decided] {
				if w.err == nil {
					w.err = err
				}
			}
		}
		changing = changing[decided:]
	}
}

// confirmCatalog brings the catalog's replica up to date, so that what another agent
// changed before this request came counts.
func (b *Broker) confirmCatalog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshWaitMax)
	defer cancel()
	if err := b.refreshCatalog(ctx); err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return nil
}

// refuseTwice refuses the resources that are named more than once.
func refuseTwice(wanted []*alteration) {
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	times := make(map[resource]int, len(wanted))
	for _, w := range wanted {
		times[resource{w.kind, w.name}]++
	}
	for _, w := range wanted {
		if times[resource{w.kind, w.name}] > 1 {
			w.err = refuse(wire.CodeInvalidRequest, "Each resource must appear at most once.")
		}
	}
}

// checkResource says whether a resource can be altered at all.
func (b *Broker) checkResource(w *alteration) error {
	switch w.kind {
	case kmsg.ConfigResourceTypeTopic:
		if w.name == "" {
			return refuse(wire.CodeInvalidRequest, "Default topic resources are not allowed.")
		}
		return checkTopicName(w.name)
	case kmsg.ConfigResourceTypeBroker:
		if w.name != "" { // empty: the default of all brokers
			id, err := strconv.ParseInt(w.name, 10, 32)
			if err != nil {
				return refuse(wire.CodeInvalidRequest, "Node id must be an integer, but it is: %s", w.name)
			}
			if int32(id) != b.cfg.NodeID {
				return refuse(wire.CodeInvalidRequest, "Unexpected broker id, expected %d, but received %s", b.cfg.NodeID, w.name)
			}
		}
		if len(w.set) > 0 {
			return refuse(wire.CodeInvalidRequest, "Cannot update these configs dynamically: Set(%s)", strings.Join(w.set, ", "))
		}
		return nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if w.name == "" {
			return refuse(wire.CodeInvalidRequest, "Default group resources are not allowed.")
		}
		return nil
	case kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics:
		return refuse(wire.CodeInvalidRequest, "Configs of the resource type %v are not served.", w.kind)
	}
	return refuse(wire.CodeInvalidRequest, "Unknown resource type %d", int8(w.kind))
}

// decideConfigs decides resources on a state, in order, until an append is full, and
// returns how many it decided. It may be called again with a newer state.
func (b *Broker) decideConfigs(s *catalog.State, wanted []*alteration) (*drafts, int) {
	d := &drafts{}
	for i, w := range wanted {
		if d.full() {
			return d, i
		}
		if w.kind == kmsg.ConfigResourceTypeGroupConfig {
			b.decideGroupConfigs(s, w, d)
			continue
		}
		t := s.Topic(w.name)
		var configs map[string]string
		if configs, w.err = b.nextConfigs(t, w); w.err == nil && !maps.Equal(configs, t.Configs) {
			d.catalog = catalog.AppendTopicConfig(d.catalog, t.Number, configs)
		}
	}
	return d, len(wanted)
}

// nextConfigs checks what the configs of a topic shall be, in Kafka's order: a topic that
// is unknown (nil) comes last.
func (b *Broker) nextConfigs(t *catalog.Topic, w *alteration) (map[string]string, error) {
	var now map[string]string
	if t != nil {
		now = t.Configs
	}
	next, err := w.bounded(now)
	if err != nil {
		return nil, err
	}
	configs, err := b.topics.check(next, b.cfg.Limits.TopicConfigBytesMax)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, refuse(wire.CodeUnknownTopicOrPartition, "The topic '%s' does not exist.", w.name)
	}
	if err := checkSchemaChange(now, configs); err != nil {
		return nil, err
	}
	return configs, nil
}

// bounded is next, with values that are no longer than Kafka takes them.
func (w *alteration) bounded(now map[string]string) (map[string]string, error) {
	next, err := w.next(now)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if len(next[name]) > configValueCharsMax {
			return nil, refuse(wire.CodeInvalidConfig,
				"The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", configValueCharsMax)
		}
	}
	return next, nil
}
