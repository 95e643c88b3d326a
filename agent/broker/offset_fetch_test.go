package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/metastore"
	stored "github.com/wadi-io/wadi/metastore/group"
	"github.com/wadi-io/wadi/wire"
)

// TestOffsetFetch_RequireStable: while a transaction is to commit an offset, who requires stable
// ones is told so, and others get the last that was committed.
func TestOffsetFetch_RequireStable(t *testing.T) {
	a := newAgent(t, newStore(), options{})
	id := a.create("t", 2, nil)
	number := a.broker.topic("t").Number
	offset := func(partition int32, o int64) stored.PlacedOffset {
		return stored.PlacedOffset{Place: stored.Place{Topic: number, Partition: partition}, Offset: stored.Offset{Offset: o, LeaderEpoch: -1}}
	}
	land := func(effects []byte) {
		t.Helper()
		if _, err := a.broker.deps.Writer.Append(t.Context(), []metastore.Draft{{Journal: metastore.GroupsJournal(0), Effects: effects}}); err != nil {
			t.Fatal(err)
		}
	}
	land(stored.AppendCommit(nil, stored.Commit{Group: "g", Expires: stored.Never, Offsets: []stored.PlacedOffset{offset(0, 3), offset(1, 4)}}))
	land(stored.AppendPending(nil, stored.Pending{Commit: stored.Commit{Group: "g", Offsets: []stored.PlacedOffset{offset(0, 10)}},
		Producer: 7, Transaction: 1, AnyMembers: true}))
	type answer struct {
		offset int64
		code   int16
	}
	check := func(stable bool, want0, want1 answer) {
		t.Helper()
		for _, version := range []int16{7, 8, 10} {
			for _, all := range []bool{true, false} {
				req := kmsg.NewPtrOffsetFetchRequest()
				req.Version, req.Group, req.RequireStable = version, "g", stable
				in := kmsg.NewOffsetFetchRequestGroup()
				in.Group = "g"
				if !all {
					req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1}}}
					in.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: id, Partitions: []int32{0, 1}}}
				}
				req.Groups = []kmsg.OffsetFetchRequestGroup{in}
				resp := call[*kmsg.OffsetFetchResponse](a, req)
				var got []answer
				if version < offsetFetchGroupsVersionMin {
					for _, p := range resp.Topics[0].Partitions {
						got = append(got, answer{p.Offset, p.ErrorCode})
					}
				} else {
					for _, p := range resp.Groups[0].Topics[0].Partitions {
						got = append(got, answer{p.Offset, p.ErrorCode})
					}
				}
				if len(got) != 2 || got[0] != want0 || got[1] != want1 {
					t.Errorf("version %d, stable %t, all %t: %v", version, stable, all, got)
				}
			}
		}
	}
	check(true, answer{-1, wire.CodeUnstableOffsetCommit}, answer{4, 0})
	check(false, answer{3, 0}, answer{4, 0})
	land(stored.AppendEnded(nil, stored.Ended{Producer: 7, Transaction: 1, Commit: true}))
	check(true, answer{10, 0}, answer{4, 0})
}

// TestOffsetFetch_TopicMadeElsewhere: a coordinator that hasn't heard yet of a topic must
// not say that nothing is committed there: the group's members would read it from its begin.
func TestOffsetFetch_TopicMadeElsewhere(t *testing.T) {
	for _, all := range []bool{false, true} {
		store := newStore()
		other, a := newAgent(t, store, options{}), newAgent(t, store, options{})
		other.create("t", 1, nil)
		commit := stored.Commit{Group: "g", Expires: stored.Never, Offsets: []stored.PlacedOffset{
			{Place: stored.Place{Topic: other.broker.topic("t").Number}, Offset: stored.Offset{Offset: 7, LeaderEpoch: -1}}}}
		if _, err := a.broker.deps.Writer.Append(t.Context(), []metastore.Draft{
			{Journal: metastore.GroupsJournal(0), Effects: stored.AppendCommit(nil, commit)}}); err != nil {
			t.Fatal(err)
		}
		if a.broker.topic("t") != nil {
			t.Fatal("it has heard of the topic already")
		}
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version = 8
		in := kmsg.NewOffsetFetchRequestGroup()
		in.Group = "g"
		if !all {
			in.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
		}
		req.Groups = []kmsg.OffsetFetchRequestGroup{in}
		got := call[*kmsg.OffsetFetchResponse](a, req).Groups[0]
		if got.ErrorCode != 0 || len(got.Topics) != 1 || got.Topics[0].Partitions[0].Offset != 7 {
			t.Errorf("all topics %t: %+v", all, got)
		}
	}
}
