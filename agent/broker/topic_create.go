package broker

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/catalog"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// newTopic is a topic that someone wants, and what becomes of that.
type newTopic struct {
	name       string
	partitions int32
	configs    map[string]string // checked

	err   error          // refused, or the append's error
	topic *catalog.Topic // as decided; with validateOnly as it would be
}

// checkTopicName holds Kafka's rules for names.
func checkTopicName(name string) error {
	switch {
	case name == "":
		return refuse(wire.CodeInvalidTopicException, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return refuse(wire.CodeInvalidTopicException, "Topic name is invalid: '%s' is not allowed", name)
	case len(name) > catalog.NameBytesMax:
		return refuse(wire.CodeInvalidTopicException, "Topic name is invalid: the length of '%s' is longer than the max allowed length %d",
			name[:catalog.NameBytesMax], catalog.NameBytesMax)
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return refuse(wire.CodeInvalidTopicException, "Topic name is invalid: '%s' contains one or more characters other than "+
				"ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return nil
}

// internalTopic tells whether a name is one that Kafka keeps for itself.
func internalTopic(name string) bool {
	return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state"
}

// collisionKey is the same for names that Kafka lets exist only one at a time, since
// its metrics can't tell them apart.
func collisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

// collisions maps the collision keys of names that can collide to the names.
type collisions map[string]string

// collisionsOf is nil unless a topic that is wanted can collide.
func collisionsOf(s *catalog.State, wanted []*newTopic) collisions {
	can := false
	for _, n := range wanted {
		can = can || n.err == nil && strings.ContainsAny(n.name, "._")
	}
	if !can {
		return nil
	}
	c := collisions{}
	for _, t := range s.Topics() {
		c.add(t.Name)
	}
	return c
}

func (c collisions) add(name string) {
	if c != nil && strings.ContainsAny(name, "._") {
		c[collisionKey(name)] = name
	}
}

// createTopics creates those of the topics that have no error yet, and says in
// each what became of it. A topic and the opening of its partitions are one
// append; several topics share one while it is small enough.
func (b *Broker) createTopics(ctx context.Context, wanted []*newTopic, validateOnly bool) {
	ids := make([][16]byte, len(wanted))
	for i := range ids {
		if err := b.newTopicID(&ids[i]); err != nil {
			wanted[i].err = errors.Join(wanted[i].err, err)
		}
	}
	if validateOnly {
		b.viewCatalog(func(s *catalog.State) {
			for rest := wanted; len(rest) > 0; {
				_, decided := b.decideTopics(s, rest, ids[len(ids)-len(rest):])
				rest = rest[decided:]
			}
		})
		return
	}
	for len(wanted) > 0 {
		var decided int
		_, err := b.change(ctx, func(s *catalog.State) []metastore.Draft {
			for _, n := range wanted[:decided] { // a strict loss: all is open again
				n.topic, n.err = b.undecided(n)
			}
			var d *drafts
			d, decided = b.decideTopics(s, wanted, ids)
			return d.list()
		})
		if err != nil {
			b.tellFailed("topics could not be created", err)
			if decided == 0 {
				decided = len(wanted)
			}
		}
		for _, n := range wanted[:decided] {
			if err != nil && n.err == nil {
				n.err, n.topic = err, nil
			}
		}
		wanted, ids = wanted[decided:], ids[decided:]
	}
}

// undecided is what a topic was before it was decided: what the state refused may
// be different on a newer one.
func (b *Broker) undecided(n *newTopic) (*catalog.Topic, error) {
	var r *stateRefusal
	if errors.As(n.err, &r) {
		return nil, nil
	}
	return nil, n.err
}

// stateRefusal marks a refusal that depends on the catalog's state.
type stateRefusal struct{ error }

func (e *stateRefusal) Unwrap() error { return e.error }

// decideTopics decides topics on a state, in order, until an append is full, and
// returns how many it decided.
func (b *Broker) decideTopics(s *catalog.State, wanted []*newTopic, ids [][16]byte) (*drafts, int) {
	d := &drafts{}
	number := s.NextTopicNumber()
	_, partitions := s.Counts()
	taken := collisionsOf(s, wanted)
	fresh := map[string]bool{}
	for i, n := range wanted {
		if d.full() {
			return d, i
		}
		if n.err != nil {
			continue
		}
		other, collides := taken[collisionKey(n.name)]
		switch {
		case s.Topic(n.name) != nil || fresh[n.name]:
			n.err = &stateRefusal{refuse(wire.CodeTopicAlreadyExists, "Topic '%s' already exists.", n.name)}
			continue
		case collides && strings.ContainsAny(n.name, "._"):
			n.err = &stateRefusal{refuse(wire.CodeInvalidTopicException, "Topic '%s' collides with existing topic: %s", n.name, other)}
			continue
		case partitions+int(n.partitions) > b.cfg.Limits.PartitionsMax:
			n.err = &stateRefusal{refuse(wire.CodeInvalidPartitions,
				"%d partitions more would make the cluster pass its limit of %d.", n.partitions, b.cfg.Limits.PartitionsMax)}
			continue
		case s.ByID(ids[i]) != nil:
			n.err = fmt.Errorf("topic id %x was drawn again", ids[i])
			continue
		}
		n.topic = &catalog.Topic{
			Number: number, ID: ids[i], Name: n.name, Partitions: n.partitions,
			FirstShard: firstShard(ids[i], b.cfg.Shards), Configs: n.configs, CreatedAt: b.now(),
		}
		number++
		partitions += int(n.partitions)
		fresh[n.name] = true
		taken.add(n.name)
		d.catalog = catalog.AppendTopicCreated(d.catalog, n.topic)
		for _, o := range shard.Openings(n.topic.Number, n.topic.ID, n.topic.FirstShard, 0, n.partitions, b.cfg.Shards) {
			d.shard(o.Shard, func(dst []byte) []byte { return shard.AppendOpened(dst, o.Opened) })
		}
	}
	return d, len(wanted)
}

// newTopicID draws a random (version 4) UUID. Kafka's tools print ids in base64 and
// take one that begins with "-" for a flag, so such a one is not used.
func (b *Broker) newTopicID(id *[16]byte) error {
	for {
		if _, err := io.ReadFull(b.deps.Random, id[:]); err != nil {
			return fmt.Errorf("draw a topic id: %w", err)
		}
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id[0]>>2 != 62 { // the first digit of "-…" in base64
			return nil
		}
	}
}

// firstShard spreads topics over the shards. Persisted with the topic.
func firstShard(id [16]byte, shards int) int32 {
	return int32(crc32.Checksum(id[:], crc32.MakeTable(crc32.Castagnoli)) % uint32(shards))
}
