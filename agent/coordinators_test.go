package agent

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/group"
)

// blind is a store that doesn't tell an agent of others who come.
type blind struct {
	*cuttable
	is atomic.Bool
}

func (b *blind) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	if b.is.Load() {
		return nil, errCut
	}
	return b.cuttable.Terms(ctx, ended...)
}

// TestCluster_TwoCoordinators: an agent that takes itself for a group's coordinator, and
// for alone, while another one is, tells no older offset, and no older state, than that one.
func TestCluster_TwoCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		store := &blind{cuttable: &cuttable{Store: n.store}}
		a := n.startWith(false, func(c *Config) { c.Zone, c.Given.Store = "a", store })
		time.Sleep(2 * time.Second)
		store.is.Store(true)
		b := n.start("b", false)
		var id string
		for i := 0; id == "" || !b.process.members.View().Coordinates(metastore.GroupsJournal(group.Journal(id, n.store.Cluster().Groups))); i++ {
			id = fmt.Sprint("g", i)
		}
		if live := len(a.process.members.View().Live()); live != 1 {
			t.Fatalf("it knows %d agents", live)
		}
		atA, atB := kadm.NewClient(a.client()), kadm.NewClient(b.client())
		for i := range int64(20) {
			// Neither agent has seen the topic that the other one made, nor what it was told.
			time.Sleep(3001 * time.Millisecond)
			topic := fmt.Sprint("t", i)
			if _, err := atB.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
			committer, reader := atB, atA
			if i%2 == 1 {
				committer, reader = atA, atB
				if _, err := atA.ListTopics(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1500 * time.Millisecond)
			}
			var offsets kadm.Offsets
			offsets.Add(kadm.Offset{Topic: topic, At: i, LeaderEpoch: -1})
			if err := committer.CommitAllOffsets(t.Context(), id, offsets); err != nil {
				t.Fatal(err)
			}
			found, err := reader.FetchOffsets(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if o, ok := found.Lookup(topic, 0); !ok || o.At != i || len(found) != int(i)+1 {
				t.Fatalf("%d was committed, now it is %+v, of %d topics", i, o, len(found))
			}
			if found, err = reader.FetchOffsetsForTopics(t.Context(), id, topic); err != nil {
				t.Fatal(err)
			}
			if o, _ := found.Lookup(topic, 0); o.At != i {
				t.Fatalf("by name: %d was committed, now it is %+v", i, o)
			}
		}
		m := b.member(kgo.ConsumerGroup(id), kgo.ConsumeTopics("t0"))
		time.Sleep(10 * time.Second)
		described, err := atA.DescribeGroups(t.Context(), id)
		if err != nil || described[id].Err != nil || len(described[id].Members) != 1 || described[id].State != "Stable" {
			t.Errorf("described as %+v, %v", described[id], err)
		}
		m.leave()
		if listed, err := atA.ListGroups(t.Context()); err != nil || listed[id].State != "Empty" {
			t.Errorf("listed as %+v, %v", listed, err)
		}
	})
}
