package main

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answer is one broker's answer to one call: its fields by path.
type answer struct {
	call   string
	fields map[string]string
	at     time.Time
}

// script is a list of calls, in order.
type script struct {
	name string
	run  func(s *session)
}

// scripts are all scripts, in the order they run.
func scripts() []script {
	return []script{
		{"api-versions", apiVersions},
		{"metadata", metadata},
		{"topics", topics},
		{"partitions", partitions},
		{"configs", configs},
		{"group-configs", groupConfigs},
		{"cluster", cluster},
		{"produce", produce},
		{"sequences", sequences},
		{"timestamps", timestamps},
		{"fetch", fetches},
		{"fetch-sessions", fetchSessions},
		{"offsets", offsets},
		{"epochs", epochs},
		{"delete-records", deleteRecords},
		{"groups", groups},
		{"generations", generations},
		{"static-members", staticMembers},
		{"commits", commits},
		{"group-admin", groupAdmin},
		{"consumer-groups", consumerGroups},
		{"mixed-groups", mixedGroups},
		{"transaction-ids", transactionIDs},
		{"transaction-parts", transactionParts},
		{"transaction-offsets", transactionOffsets},
		{"transaction-ends", transactionEnds},
		{"transaction-batches", transactionBatches},
		{"transaction-admin", transactionAdmin},
	}
}

// session is one broker's run of one script.
type session struct {
	broker  *broker
	script  string
	names   *names
	conns   map[string]*conn
	current string // connection
	answers *[]answer
}

// on returns the session on another connection, by name.
func (s *session) on(name string) *session {
	other := *s
	other.current = name
	return &other
}

func (s *session) conn() (*conn, error) {
	if c := s.conns[s.current]; c != nil {
		return c, nil
	}
	c, err := dial(s.broker.address)
	if err == nil {
		s.conns[s.current] = c
	}
	return c, err
}

// drop closes the session's connection; the next call opens another.
func (s *session) drop() {
	if c := s.conns[s.current]; c != nil {
		c.Close()
		delete(s.conns, s.current)
	}
}

func (s *session) close() {
	for _, c := range s.conns {
		c.Close()
	}
}

// show keeps an answer for the comparison.
func (s *session) show(call string, r kmsg.Response, err error) {
	fields := map[string]string{}
	if err != nil {
		fields["outcome"] = outcome(err)
	} else {
		s.names.flatten(reflect.ValueOf(r).Elem(), "", fields)
	}
	*s.answers = append(*s.answers, answer{s.script + ": " + call, fields, time.Now()})
}

// exchange sends a request and waits for its answer, which is empty after an error.
func (s *session) exchange(r kmsg.Request, version int16) (kmsg.Response, error) {
	r.SetVersion(version)
	c, err := s.conn()
	if err == nil {
		if err = c.send(r); err == nil {
			response := r.ResponseKind()
			if err = c.receive(response); err == nil {
				return response, nil
			}
		}
		s.drop()
	}
	return r.ResponseKind(), err
}

// ask sends a request at a version and keeps the answer.
func ask[R kmsg.Response](s *session, call string, version int16, r kmsg.Request) R {
	response, err := s.exchange(r, version)
	s.show(call, response, err)
	return response.(R)
}

// quiet is ask, but the answer isn't compared.
func quiet[R kmsg.Response](s *session, version int16, r kmsg.Request) R {
	response, _ := s.exchange(r, version)
	return response.(R)
}

// until repeats a request until its answer satisfies, for changes that a broker
// applies a moment after it has answered; then keeps the last answer.
func until[R kmsg.Response](s *session, call string, version int16, r kmsg.Request, satisfied func(R) bool) R {
	response, err := s.await(version, r, func(r kmsg.Response) bool { return satisfied(r.(R)) })
	s.show(call, response, err)
	return response.(R)
}

func (s *session) await(version int16, r kmsg.Request, satisfied func(kmsg.Response) bool) (kmsg.Response, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := s.exchange(r, version)
		if err == nil && satisfied(response) || time.Now().After(deadline) {
			return response, err
		}
		if err != nil && outcome(err) == "connection closed" && version >= 0 {
			return response, err
		}
	}
}

// begin sends a request on the session's connection without waiting; what it
// returns waits for the answer and keeps it.
func begin[R kmsg.Response](s *session, call string, version int16, r kmsg.Request) func() R {
	r.SetVersion(version)
	c, err := s.conn()
	if err == nil {
		err = c.send(r)
	}
	return func() R {
		response := r.ResponseKind()
		if err == nil {
			err = c.receive(response)
		}
		s.show(call, response, err)
		if err != nil {
			s.drop()
		}
		return response.(R)
	}
}

// raw sends a body as it is.
func (s *session) raw(call string, r kmsg.Response, version int16, body []byte) {
	r.SetVersion(version)
	c, err := s.conn()
	if err == nil {
		if err = c.sendBody(r.Key(), version, body); err == nil {
			err = c.receive(r)
		}
	}
	if err != nil {
		s.drop()
	}
	s.show(call, r, err)
}

// topic makes a topic, waits until it can be used, and returns its id.
func (s *session) topic(name string, partitions int32, configs ...string) [16]byte {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 10_000
	request.Topics = []kmsg.CreateTopicsRequestTopic{newTopic(name, partitions, 1, configs...)}
	quiet[*kmsg.CreateTopicsResponse](s, 7, request)
	return s.awaitTopic(name, partitions)
}

// awaitTopic waits until a topic has leaders for its partitions.
func (s *session) awaitTopic(name string, partitions int32) (id [16]byte) {
	s.await(12, metadataOf(name), func(r kmsg.Response) bool {
		topics := r.(*kmsg.MetadataResponse).Topics
		if len(topics) != 1 || topics[0].ErrorCode != 0 || len(topics[0].Partitions) != int(partitions) {
			return false
		}
		id = topics[0].TopicID
		for i := range topics[0].Partitions {
			if topics[0].Partitions[i].ErrorCode != 0 || topics[0].Partitions[i].Leader < 0 {
				return false
			}
		}
		return true
	})
	// The log opens a moment after the metadata names its leader.
	list := listOffsets(name, 0, -2)
	for p := int32(1); p < partitions; p++ {
		list.Topics[0].Partitions = append(list.Topics[0].Partitions, listOffsets(name, p, -2).Topics[0].Partitions...)
	}
	s.await(9, list, func(r kmsg.Response) bool {
		topics := r.(*kmsg.ListOffsetsResponse).Topics
		for t := range topics {
			for p := range topics[t].Partitions {
				if topics[t].Partitions[p].ErrorCode != 0 {
					return false
				}
			}
		}
		return len(topics) == 1
	})
	s.names.topic(id, name)
	return id
}

// awaitNoTopic waits until a topic is gone.
func (s *session) awaitNoTopic(name string) {
	s.await(12, metadataOf(name), func(r kmsg.Response) bool {
		topics := r.(*kmsg.MetadataResponse).Topics
		return len(topics) == 1 && topics[0].ErrorCode == 3
	})
}

func metadataOf(names ...string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.AllowAutoTopicCreation = false
	r.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		r.Topics = append(r.Topics, t)
	}
	return r
}

// newTopic is a topic to create; configs are names and values in turn.
func newTopic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], kmsg.StringPtr(configs[i+1])
		t.Configs = append(t.Configs, c)
	}
	return t
}

func listOffsets(topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, timestamp, -1
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// noSuchID is a topic id that no topic has.
func noSuchID() [16]byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], 0x0bad0bad0bad0bad)
	id[15] = 1
	return id
}

func named(format string, args ...any) string { return fmt.Sprintf(format, args...) }
