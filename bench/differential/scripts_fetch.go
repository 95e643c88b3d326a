package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetching asks for a partition from an offset, without a session, and waits little.
func fetching(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = -1, 100, 1, 50<<20
	r.SessionID, r.SessionEpoch = 0, -1
	r.Topics = []kmsg.FetchRequestTopic{fetchTopic(topic, partition, offset)}
	return r
}

func fetchTopic(topic string, partition int32, offset int64) kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	p.CurrentLeaderEpoch, p.LogStartOffset, p.LastFetchedEpoch = -1, -1, -1
	t.Partitions = append(t.Partitions, p)
	return t
}

func fetches(s *session) {
	id := s.topic("in", 2)
	big := strings.Repeat("b", 3000)
	s.fill("in", 0,
		batchOf{records: values("a", "b", "c"), first: past},
		batchOf{records: values(big), first: past + 10},
		batchOf{records: values("d", "e"), first: past + 20, codec: 1},
		batchOf{records: values(big, "f"), first: past + 30})
	s.fill("in", 1, batchOf{records: values(big), first: past})
	fetch := func(call string, version int16, r *kmsg.FetchRequest) {
		ask[*kmsg.FetchResponse](s, call, version, r)
	}
	for _, version := range []int16{4, 5, 7, 9, 11, 12} {
		fetch(named("version %d", version), version, fetching("in", 0, 0))
	}
	byID := fetching("", 0, 0)
	byID.Topics[0].TopicID = id
	for _, version := range []int16{13, 16, 17, 18} {
		fetch(named("version %d", version), version, byID)
	}
	byID.Topics[0].TopicID = noSuchID()
	fetch("an unknown id", 13, byID)
	byID.Topics[0].TopicID = [16]byte{}
	fetch("no id", 13, byID)
	fetch("version 3", 3, fetching("in", 0, 0))
	fetch("inside a batch", 12, fetching("in", 0, 2))
	fetch("the last batch", 12, fetching("in", 0, 7))
	fetch("the end", 12, fetching("in", 0, 8))
	fetch("beyond the end", 12, fetching("in", 0, 9))
	fetch("offset -1", 12, fetching("in", 0, -1))
	fetch("offset -5", 12, fetching("in", 0, -5))
	fetch("an unknown topic", 12, fetching("nobody", 0, 0))
	fetch("an unknown partition", 12, fetching("in", 9, 0))
	fetch("partition -1", 12, fetching("in", -1, 0))
	fetch("a bad topic name", 12, fetching("a b", 0, 0))
	change := func(f func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition)) *kmsg.FetchRequest {
		r := fetching("in", 0, 0)
		f(r, &r.Topics[0].Partitions[0])
		return r
	}
	for _, limit := range []int32{0, 1, 80, 200, -1} {
		fetch(named("%d bytes of the partition", limit), 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = limit }))
		fetch(named("%d bytes in all", limit), 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.MaxBytes = limit }))
	}
	fetch("epoch 0", 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 0 }))
	fetch("epoch 5", 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = 5 }))
	fetch("last fetched epoch 0", 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = 0 }))
	fetch("last fetched epoch 0 beyond the end", 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		p.LastFetchedEpoch, p.FetchOffset = 0, 100
	}))
	fetch("last fetched epoch 5", 12, change(func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		p.CurrentLeaderEpoch, p.LastFetchedEpoch = 0, 5
	}))
	fetch("more bytes than there are", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.MinBytes = 1 << 20 }))
	fetch("no wait at the end", 12, change(func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MaxWaitMillis, p.FetchOffset = 0, 8
	}))
	fetch("min bytes 0 at the end", 12, change(func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MaxWaitMillis, r.MinBytes, p.FetchOffset = 10_000, 0, 8
	}))
	fetch("a long wait and an error", 12, change(func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MaxWaitMillis, p.FetchOffset = 10_000, 99
	}))
	fetch("only what is committed", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.IsolationLevel = 1 }))
	fetch("an unknown isolation", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.IsolationLevel = 7 }))
	fetch("as a replica that isn't one", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.ReplicaID = 77 }))
	fetch("as a debugging consumer", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.ReplicaID = -2 }))
	fetch("with a rack", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Rack = "somewhere" }))
	fetch("another cluster's id", 12, change(func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) {
		r.ClusterID = kmsg.StringPtr("another")
	}))
	two := fetching("in", 0, 0)
	two.Topics[0].Partitions = append(two.Topics[0].Partitions, fetchTopic("in", 1, 0).Partitions...)
	fetch("two partitions", 12, two)
	two.MaxBytes = 2000
	fetch("two partitions in 2000 bytes", 12, two)
	two.Topics[0].Partitions[0].FetchOffset, two.MaxBytes = 50, 50<<20
	fetch("two partitions, one out of range", 12, two)
	twice := fetching("in", 1, 0)
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
	fetch("a partition twice", 12, twice)
	nothing := fetching("in", 0, 0)
	nothing.Topics, nothing.MaxWaitMillis = nil, 50
	fetch("nothing", 12, nothing)

	waiting := change(func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MaxWaitMillis, p.FetchOffset = 10_000, 8
	})
	done := begin[*kmsg.FetchResponse](s.on("waits"), "woken by a record", 12, waiting)
	s.fill("in", 0, batchOf{records: values("woke"), first: past})
	done()
}

func fetchSessions(s *session) {
	id := s.topic("in-session", 2)
	s.fill("in-session", 0, batchOf{records: values("a"), first: past})
	open := fetching("in-session", 0, 0)
	open.SessionEpoch = 0
	open.Topics[0].Partitions = append(open.Topics[0].Partitions, fetchTopic("in-session", 1, 0).Partitions...)
	session := ask[*kmsg.FetchResponse](s, "open", 12, open).SessionID
	next := func(call string, epoch int32, change func(r *kmsg.FetchRequest)) {
		r := fetching("in-session", 0, 0)
		r.SessionID, r.SessionEpoch, r.Topics = session, epoch, nil
		if change != nil {
			change(r)
		}
		ask[*kmsg.FetchResponse](s, call, 12, r)
	}
	next("the same again", 1, nil)
	next("the first partition at its end", 2, func(r *kmsg.FetchRequest) {
		r.Topics = []kmsg.FetchRequestTopic{fetchTopic("in-session", 0, 1)}
	})
	next("nothing new", 3, nil)
	s.fill("in-session", 1, batchOf{records: values("b"), first: past})
	next("something new in the other partition", 4, nil)
	next("without the first partition", 5, func(r *kmsg.FetchRequest) {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.Partitions = "in-session", []int32{0}
		r.ForgottenTopics = append(r.ForgottenTopics, f)
	})
	next("a bad epoch", 9, nil)
	next("an old epoch", 2, nil)
	next("after a bad epoch", 6, nil)
	next("an unknown topic joins", 7, func(r *kmsg.FetchRequest) {
		r.Topics = []kmsg.FetchRequestTopic{fetchTopic("nobody", 0, 0)}
	})
	next("an unknown session", 1, func(r *kmsg.FetchRequest) { r.SessionID = session ^ 0x55555 })
	next("a negative epoch", -7, nil)
	next("closed", -1, func(r *kmsg.FetchRequest) { r.Topics = []kmsg.FetchRequestTopic{fetchTopic("in-session", 1, 0)} })
	next("after it was closed", 8, nil)
	next("a session's id with epoch 0", 0, func(r *kmsg.FetchRequest) {
		r.Topics = []kmsg.FetchRequestTopic{fetchTopic("in-session", 1, 0)}
	})
	byID := fetching("", 0, 0)
	byID.SessionEpoch, byID.Topics[0].TopicID = 0, id
	session = ask[*kmsg.FetchResponse](s, "open by id", 13, byID).SessionID
	byName := fetching("in-session", 0, 0)
	byName.SessionID, byName.SessionEpoch, byName.Topics = session, 1, nil
	ask[*kmsg.FetchResponse](s, "go on by name", 12, byName)
}

func offsets(s *session) {
	s.topic("list", 2)
	s.fill("list", 0,
		batchOf{records: []record{{value: []byte("a")}, {value: []byte("b"), delta: 10}, {value: []byte("c"), delta: 5}}, first: past},
		batchOf{records: []record{{value: []byte("d")}, {value: []byte("e"), delta: 100}}, first: past + 50, codec: 4},
		batchOf{records: values("f"), first: past + 20})
	list := func(call string, version int16, r *kmsg.ListOffsetsRequest) {
		ask[*kmsg.ListOffsetsResponse](s, call, version, r)
	}
	for _, special := range []int64{-1, -2, -3, -4, -5, -6, -7, -100} {
		for _, version := range []int16{1, 6, 7, 8, 9, 10, 11} {
			if version == 11 || special == -1 || special == -3 && (version == 6 || version == 7) || special == -4 && version >= 7 && version <= 8 || special == -5 && version >= 8 {
				list(named("%d, version %d", special, version), version, listOffsets("list", 0, special))
			}
		}
	}
	for _, at := range []int64{0, past - 1, past, past + 5, past + 6, past + 10, past + 11, past + 50, past + 51, past + 150, past + 151} {
		list(named("at %d", at-past), 9, listOffsets("list", 0, at))
	}
	list("the end of an empty partition", 9, listOffsets("list", 1, -1))
	list("the begin of an empty partition", 9, listOffsets("list", 1, -2))
	list("the largest timestamp of an empty partition", 9, listOffsets("list", 1, -3))
	list("a time in an empty partition", 9, listOffsets("list", 1, past))
	list("an unknown topic", 9, listOffsets("nobody", 0, -1))
	list("an unknown partition", 9, listOffsets("list", 9, -1))
	list("a bad topic name", 9, listOffsets("a b", 0, -1))
	twice := listOffsets("list", 0, -1)
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, listOffsets("list", 0, -2).Topics[0].Partitions...)
	list("a partition twice", 9, twice)
	epoch := listOffsets("list", 0, -1)
	epoch.Topics[0].Partitions[0].CurrentLeaderEpoch = 0
	list("epoch 0", 9, epoch)
	epoch.Topics[0].Partitions[0].CurrentLeaderEpoch = 5
	list("epoch 5", 9, epoch)
	committed := listOffsets("list", 0, -1)
	committed.IsolationLevel = 1
	list("the end of what is committed", 9, committed)
	committed.IsolationLevel = 9
	list("an unknown isolation", 9, committed)
	replica := listOffsets("list", 0, -1)
	replica.ReplicaID = 77
	list("as a replica", 9, replica)
	list("nothing", 9, kmsg.NewPtrListOffsetsRequest())
}

func epochs(s *session) {
	s.topic("epoch", 1)
	s.fill("epoch", 0, batchOf{records: values("a", "b"), first: past})
	ending := func(call string, topic string, partition, current, epoch int32) {
		for _, version := range []int16{2, 4} {
			r := kmsg.NewPtrOffsetForLeaderEpochRequest()
			r.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = topic
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
			t.Partitions = append(t.Partitions, p)
			r.Topics = append(r.Topics, t)
			ask[*kmsg.OffsetForLeaderEpochResponse](s, named("%s, version %d", call, version), version, r)
		}
	}
	ending("epoch 0", "epoch", 0, -1, 0)
	ending("epoch 5", "epoch", 0, -1, 5)
	ending("no epoch", "epoch", 0, -1, -1)
	ending("epoch 0 in epoch 0", "epoch", 0, 0, 0)
	ending("epoch 0 in epoch 5", "epoch", 0, 5, 0)
	ending("an unknown topic", "nobody", 0, -1, 0)
	ending("an unknown partition", "epoch", 9, -1, 0)
}

func deleteRecords(s *session) {
	s.topic("cut", 2)
	s.topic("cut-compacted", 1, "cleanup.policy", "compact")
	s.fill("cut", 0, batchOf{records: values("a", "b", "c"), first: past}, batchOf{records: values("d", "e"), first: past})
	cut := func(call string, version int16, topic string, partition int32, offset int64) {
		r := kmsg.NewPtrDeleteRecordsRequest()
		r.TimeoutMillis = 10_000
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = topic
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Partition, p.Offset = partition, offset
		t.Partitions = append(t.Partitions, p)
		r.Topics = append(r.Topics, t)
		ask[*kmsg.DeleteRecordsResponse](s, call, version, r)
	}
	cut("to 2", 2, "cut", 0, 2)
	ask[*kmsg.ListOffsetsResponse](s, "the begin after", 9, listOffsets("cut", 0, -2))
	ask[*kmsg.FetchResponse](s, "fetch before the begin", 12, fetching("cut", 0, 0))
	ask[*kmsg.FetchResponse](s, "fetch at the begin", 12, fetching("cut", 0, 2))
	ask[*kmsg.ListOffsetsResponse](s, "by time after", 9, listOffsets("cut", 0, past))
	cut("back to 1", 2, "cut", 0, 1)
	cut("to 4, version 0", 0, "cut", 0, 4)
	cut("beyond the end", 2, "cut", 0, 9)
	cut("to -2", 2, "cut", 0, -2)
	cut("all", 2, "cut", 0, -1)
	ask[*kmsg.ListOffsetsResponse](s, "the begin after all", 9, listOffsets("cut", 0, -2))
	cut("an empty partition", 2, "cut", 1, -1)
	cut("an unknown topic", 2, "nobody", 0, 0)
	cut("an unknown partition", 2, "cut", 9, 0)
	cut("a compacted topic", 2, "cut-compacted", 0, 0)
	ask[*kmsg.ProduceResponse](s, "produce after all", 9, producing("cut", 0, -1, batchOf{records: values("f"), first: past}.bytes()))
}
