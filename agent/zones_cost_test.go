package agent

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCluster_CostOfZones: with equal zones a segment is read from the bucket once in each
// other zone, and never in its own, however many read it; and between agents go entries,
// no records.
func TestCluster_CostOfZones(t *testing.T) {
	for _, each := range []int{1, 2} {
		t.Run(fmt.Sprint(each, " a zone"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const partitions, rounds, valueBytes, readersEach = 24, 5, 50_000, 2
				n := newNeighbourhood(t)
				all := n.zones(each)
				all[0].create("t", partitions)
				time.Sleep(3 * time.Second)
				before := make([]cost, len(all))
				for i, s := range all {
					before[i] = s.cost()
				}
				zones := []string{"a", "b", "c"}
				for _, zone := range zones {
					c := n.client(all[0], kgo.ClientID("zone="+zone), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
					for range rounds {
						for p := range int32(partitions) {
							c.Produce(t.Context(), &kgo.Record{Topic: "t", Partition: p, Value: bytes.Repeat([]byte{'x'}, valueBytes)}, func(_ *kgo.Record, err error) {
								if err != nil {
									t.Error(err)
								}
							})
						}
						if err := c.Flush(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(time.Second)
				for _, zone := range zones {
					for range readersEach {
						c := n.client(all[0], kgo.ClientID("zone="+zone), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
						values(t, c, len(zones)*rounds*partitions)
						c.Close()
					}
				}
				var puts, gets, pushed, entries int64
				for i, s := range all {
					c := s.cost().since(before[i])
					others := int64(0)
					for k, o := range all {
						if k%3 != i%3 && k/3 == i/3 { // of another zone and the same seat
							others += o.cost().since(before[k]).puts
						}
					}
					if c.gets != others || c.puts < rounds {
						t.Errorf("the agent of seat %d in zone %s: %d PUTs; %d GETs of %d segments that others wrote for its shards", i/3+1, s.cfg.Zone, c.puts, c.gets, others)
					}
					st := s.serving.Load().mesh.Stats()
					puts, gets, pushed, entries = puts+c.puts, gets+c.gets, pushed+st.Bytes, entries+st.Entries
				}
				t.Logf("%d PUTs, %d GETs; %d entries of %d bytes pushed", puts, gets, entries, pushed)
				if gets != 2*puts {
					t.Errorf("%d GETs for %d segments, want 2 a segment", gets, puts)
				}
				// An entry of one batch, or of a few: far less than the records of one.
				if entries < int64(len(zones)*rounds*partitions) || pushed > 300*entries || pushed > int64(valueBytes)*int64(len(zones)*rounds*partitions)/100 {
					t.Errorf("%d entries of %d bytes were pushed", entries, pushed)
				}
			})
		})
	}
}
