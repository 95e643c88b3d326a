package main

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire/batch"
)

// names are what a broker handed out, under names that are the same for both.
type names struct {
	host    string
	port    int32
	cluster string
	now     time.Time
	topics  map[[16]byte]string
	members map[string]string
	ids     map[int64]string // producers
}

func newNames(b *broker) *names {
	return &names{
		host: b.host, port: b.port, cluster: b.cluster, now: time.Now(),
		topics: map[[16]byte]string{}, members: map[string]string{}, ids: map[int64]string{},
	}
}

func (n *names) topic(id [16]byte, name string) {
	if id != [16]byte{} {
		n.topics[id] = name
	}
}

// identities are the fields that tell elements of a list apart, most telling first.
var identities = []string{
	"Topic", "TopicID", "Name", "Feature", "Group", "ResourceName", "Partition", "PartitionID", "ApiKey", "NodeID",
	"MemberID", "InstanceID", "Key", "ProducerID", "Dir", "ConfigName",
}

// passed are fields that say nothing of a broker's behaviour.
var passed = map[string]bool{"Version": true, "UnknownTags": true, "ThrottleMillis": true}

// wording are fields whose text is a broker's own; that there is one is compared.
var wording = map[string]bool{"ErrorMessage": true, "Documentation": true}

// uuid is how both brokers make member ids unique.
var uuid = regexp.MustCompile(`[0-9A-Za-z_]{8}-[0-9A-Za-z_]{4}-[0-9A-Za-z_]{4}-[0-9A-Za-z_]{4}-[0-9A-Za-z_]{12}|[0-9A-Za-z_-]{22}$`)

// flatten writes a value's leaves, by path, with what must differ made alike.
func (n *names) flatten(v reflect.Value, path string, out map[string]string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			out[path] = "null"
			return
		}
		n.flatten(v.Elem(), path, out)
	case reflect.Struct:
		if key, ok := v.Interface().(kmsg.ApiVersionsResponseApiKey); ok {
			out[path] = fmt.Sprintf("%d to %d", key.MinVersion, key.MaxVersion)
			return
		}
		n.learn(v)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; !passed[name] {
				n.field(v.Field(i), name, join(path, name), out)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.IsNil() {
				out[path] = "null"
				return
			}
			out[path] = fmt.Sprintf("%q", v.Bytes())
			return
		}
		out[path+".count"] = fmt.Sprint(v.Len())
		if v.IsNil() {
			out[path+".count"] = "null"
		}
		n.elements(v, path, out)
	default:
		out[path] = fmt.Sprint(v.Interface())
	}
}

// elements writes a list's elements under their identities rather than their places.
func (n *names) elements(v reflect.Value, path string, out map[string]string) {
	seen := map[string]int{}
	for i := range v.Len() {
		element := v.Index(i)
		id := fmt.Sprint(i)
		if element.Kind() == reflect.Struct {
			n.learn(element)
			if telling := n.identity(element); telling != "" {
				id = telling
			}
		} else {
			id = fmt.Sprint(element.Interface())
		}
		seen[id]++
		if seen[id] > 1 {
			id = fmt.Sprintf("%s (%d)", id, seen[id])
		}
		n.flatten(element, path+"["+id+"]", out)
	}
}

// identity is what tells a list's element from its neighbours, or nothing.
func (n *names) identity(v reflect.Value) string {
	for _, name := range identities {
		field := v.FieldByName(name)
		if !field.IsValid() {
			continue
		}
		out := map[string]string{}
		n.field(field, name, "", out)
		switch text := out[""]; text {
		case `""`, "", "null", "no id":
		default:
			return text
		}
	}
	return ""
}

// learn notes ids beside their names.
func (n *names) learn(v reflect.Value) {
	id, ok := v.FieldByName("TopicID"), false
	if !id.IsValid() || id.Type() != reflect.TypeFor[[16]byte]() {
		return
	}
	name := v.FieldByName("Topic")
	if ok = name.IsValid(); !ok {
		return
	}
	if name.Kind() == reflect.Pointer {
		if name.IsNil() {
			return
		}
		name = name.Elem()
	}
	if name.Kind() == reflect.String && name.Len() > 0 {
		n.topic(id.Interface().([16]byte), name.String())
	}
}

// field writes one field, which its name may say to make alike.
func (n *names) field(v reflect.Value, name, path string, out map[string]string) {
	if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() != reflect.Struct {
		v = v.Elem()
	}
	switch value := v.Interface().(type) {
	case [16]byte:
		out[path] = n.id(value)
	case string:
		out[path] = n.text(name, value)
	case int64:
		out[path] = n.number(name, value)
	case int32:
		switch {
		case name == "Port" && value == n.port:
			out[path] = "port"
		case name == "SessionID" && value != 0:
			out[path] = "session"
		default:
			out[path] = fmt.Sprint(value)
		}
	case []byte:
		if name == "RecordBatches" {
			n.batches(value, path, out)
			return
		}
		n.flatten(v, path, out)
	default:
		n.flatten(v, path, out)
	}
}

func (n *names) id(id [16]byte) string {
	switch name, ok := n.topics[id]; {
	case id == [16]byte{}:
		return "no id"
	case id == noSuchID():
		return "no topic's id"
	case ok:
		return "id of " + name
	}
	return "unknown id"
}

func (n *names) text(name, value string) string {
	switch {
	case value == "":
		return `""`
	case wording[name] && value != "":
		return "text"
	case name == "Host" && (value == n.host || value == "/"+n.host):
		return "host"
	case name == "ClientHost":
		return "client host " + strings.TrimPrefix(value, "/")
	case name == "ClusterID" && value == n.cluster:
		return "cluster"
	case name == "Dir":
		return "dir"
	case name == "MemberID" || name == "LeaderID" || name == "SkipAssignment":
		return n.member(value)
	}
	return value
}

// member names a member id that a broker made up.
func (n *names) member(id string) string {
	at := uuid.FindStringIndex(id)
	if at == nil {
		return id
	}
	if n.members[id] == "" {
		n.members[id] = fmt.Sprintf("%smember#%d", id[:at[0]], len(n.members)+1)
	}
	return n.members[id]
}

func (n *names) number(name string, value int64) string {
	switch {
	case name == "ProducerID" && value >= 0 && value != noSuchProducer:
		if n.ids[value] == "" {
			n.ids[value] = fmt.Sprintf("producer#%d", len(n.ids)+1)
		}
		return n.ids[value]
	case strings.Contains(name, "Timestamp") || strings.HasSuffix(name, "Time"):
		return n.time(value)
	case name == "FinalizedFeaturesEpoch" && value >= 0:
		return "epoch"
	case name == "TotalBytes" || name == "UsableBytes":
		return "disk"
	}
	return fmt.Sprint(value)
}

// time is a time in ms, or "now" where it is about that.
func (n *names) time(ms int64) string {
	if d := time.UnixMilli(ms).Sub(n.now); d > -10*time.Minute && d < 10*time.Minute {
		return "now"
	}
	return fmt.Sprint(ms)
}

// batches writes what fetched batches hold.
func (n *names) batches(b []byte, path string, out map[string]string) {
	count := 0
	for ; len(b) > 0; count++ {
		header, one, rest, err := batch.Next(b)
		if err != nil {
			if len(b) >= batch.HeaderSize {
				out[path+".rest"] = err.Error()
			}
			break
		}
		at := fmt.Sprintf("%s[%d]", path, header.BaseOffset)
		producer := fmt.Sprint(header.ProducerID)
		if header.ProducerID >= 0 {
			producer = n.number("ProducerID", header.ProducerID)
		}
		out[at] = fmt.Sprintf("leader epoch %d, magic %d, %s, attributes %#x, last delta %d, times %s to %s, producer %s epoch %d sequence %d",
			header.LeaderEpoch, header.Magic, header.Codec(), header.Attributes, header.LastOffsetDelta,
			n.time(header.FirstTimestamp), n.time(header.MaxTimestamp), producer, header.ProducerEpoch, header.BaseSequence)
		for record, err := range batch.Records(one, 64<<20) {
			if err != nil {
				out[at+".records"] = err.Error()
				break
			}
			out[fmt.Sprintf("%s.record %d", at, record.Offset)] = fmt.Sprintf("%s key %s value %s headers %d",
				n.time(record.Timestamp), short(record.Key), short(record.Value), len(record.Headers))
		}
		b = rest
	}
	out[path+".count"] = fmt.Sprint(count)
}

// short is bytes as text, of which there may be many.
func short(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 40:
		return fmt.Sprintf("%d bytes %s…", len(b), hex.EncodeToString(b[:8]))
	}
	return fmt.Sprintf("%q", b)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
