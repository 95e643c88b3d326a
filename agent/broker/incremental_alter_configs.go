package broker

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire"
)

// IncrementalAlterConfigs, versions 0–1 (KIP-339): sets, deletes, appends to and
// subtracts from single configs of a resource; the others stay.
//
// Appending and subtracting take lists only. They work on what is set for the topic, else on
// the config's own default, as in Kafka. A deletion of what is not set, and any
// operation that changes nothing, is no error.
//
// What differs from Apache Kafka: as in AlterConfigs; an unknown operation is INVALID_REQUEST for
// every resource (Kafka's controller answers UNKNOWN_SERVER_ERROR for topics).

func (b *Broker) handleIncrementalAlterConfigs(ctx context.Context, r *wire.Request) wire.Answer {
	req := r.Message.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	wanted := make([]*alteration, len(req.Resources))
	for i := range req.Resources {
		wanted[i] = increment(&req.Resources[i])
	}
	b.alter(ctx, wanted, req.ValidateOnly)
	resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(wanted))
	for i, w := range wanted {
		out := &resp.Resources[i]
		out.Default()
		out.ResourceType, out.ResourceName = w.kind, w.name
		out.ErrorCode, out.ErrorMessage = codeOf(w.err), messageOf(w.err)
	}
	return wire.Answer{Message: resp}
}

// increment is an alteration that works on what is set.
func increment(r *kmsg.IncrementalAlterConfigsRequestResource) *alteration {
	w := &alteration{kind: r.ResourceType, name: r.ResourceName}
	var null []string
	var unknown error
	for _, c := range r.Configs {
		switch {
		case c.Op < kmsg.IncrementalAlterConfigOpSet || c.Op > kmsg.IncrementalAlterConfigOpSubtract:
			unknown = refuse(wire.CodeInvalidRequest, "Unknown operations type %d", int8(c.Op))
		case c.Op == kmsg.IncrementalAlterConfigOpDelete:
			continue
		}
		w.set = append(w.set, c.Name)
		if c.Value == nil {
			null = append(null, c.Name)
		}
	}
	if w.err = checkNames(len(r.Configs), func(i int) string { return r.Configs[i].Name }, null); w.err == nil {
		w.err = unknown
	}
	w.next = func(now map[string]string) (map[string]string, error) {
		next := make(map[string]string, len(now)+len(r.Configs))
		maps.Copy(next, now)
		for i := range r.Configs {
			if err := applyConfig(next, w.kind, &r.Configs[i]); err != nil {
				return nil, err
			}
		}
		return next, nil
	}
	return w
}

// applyConfig changes one config.
func applyConfig(configs map[string]string, kind kmsg.ConfigResourceType, c *kmsg.IncrementalAlterConfigsRequestResourceConfig) error {
	switch c.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		configs[c.Name] = *c.Value
		return nil
	case kmsg.IncrementalAlterConfigOpDelete:
		delete(configs, c.Name)
		return nil
	}
	s := topicSetting(c.Name)
	if kind != kmsg.ConfigResourceTypeTopic || s == nil || s.Type != list { // no group config is a list
		return refuse(wire.CodeInvalidConfig, "Can't %s to key %s because its type is not LIST.", c.Op, c.Name)
	}
	value, set := configs[c.Name]
	if !set {
		value = s.Default
	}
	items := slices.DeleteFunc(splitList(value), func(item string) bool { return item == "" })
	for _, item := range splitList(*c.Value) {
		at := slices.Index(items, item)
		switch {
		case c.Op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			items = append(items, item)
		case c.Op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	configs[c.Name] = strings.Join(items, ",")
	return nil
}
