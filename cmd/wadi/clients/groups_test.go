package clients

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	groupPartitions = 6
	// groupSession is the session time-out, in milliseconds, of a member that
	// the test kills: the shortest that Kafka's default takes.
	groupSession = 6000
	// longSession is that of a member that leaves, or comes back: longer than patience.
	longSession = 120_000
)

// groupClient is a client that can be a member of a group.
type groupClient struct {
	name     string
	command  []string
	protocol string // classic or consumer
	static   bool   // it has static members
}

// groupConfigs let the tests of groups run in seconds.
func groupConfigs() []string {
	var args []string
	for _, config := range []string{
		"group.initial.rebalance.delay.ms=500", "group.consumer.session.timeout.ms=6000",
		"group.consumer.min.session.timeout.ms=6000", "group.consumer.heartbeat.interval.ms=1000",
		"group.consumer.min.heartbeat.interval.ms=500",
	} {
		args = append(args, "--config", config)
	}
	return args
}

// patientConfigs leave KIP-848's session time-out, which is the broker's, at Kafka's
// default, for those who come back.
func patientConfigs() []string {
	return []string{"--config", "group.initial.rebalance.delay.ms=500"}
}

// members is a group under load, and its members.
type members struct {
	t              *testing.T
	address, topic string
	group          string
	all            []*program
	stop           func() map[int32]int64 // the load; returns the topic's ends
}

// startMembers makes a topic and produces to it, some 600 records a second,
// until it is told to stop.
func startMembers(t *testing.T, address, topic string) *members {
	t.Helper()
	franz{}.create(t, address, topic, groupPartitions, nil)
	m := &members{t: t, address: address, topic: topic, group: "group-of-" + topic}
	c := franz{}.connect(t, address, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	ctx, cancel := context.WithCancel(t.Context())
	var producing sync.WaitGroup
	producing.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			for partition := range int32(2 * groupPartitions) {
				c.Produce(context.Background(), &kgo.Record{Partition: partition % groupPartitions, Value: []byte("load")}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("produce to %s: %v", topic, err)
					}
				})
			}
			<-tick.C
		}
	})
	m.stop = sync.OnceValue(func() map[int32]int64 {
		cancel()
		producing.Wait()
		defer c.Close()
		if err := c.Flush(context.Background()); err != nil {
			t.Errorf("produce to %s: %v", topic, err)
		}
		ends, err := kadm.NewClient(c).ListEndOffsets(context.Background(), topic)
		if err != nil {
			t.Error(err)
		}
		places := map[int32]int64{}
		ends.Each(func(end kadm.ListedOffset) { places[end.Partition] = end.Offset })
		return places
	})
	t.Cleanup(func() { m.stop() })
	return m
}

// join starts one more member.
func (m *members) join(c groupClient, instance string, session int) *program {
	m.t.Helper()
	p := run(m.t, c.name, c.command, m.address)
	m.all = append(m.all, p)
	p.ask(map[string]any{
		"do": "join", "topic": m.topic, "group": m.group, "instance": instance, "protocol": c.protocol, "session": session,
	})
	return p
}

// share waits until these members, and no others, hold each partition once.
func (m *members) share(members ...*program) {
	m.t.Helper()
	eventually(m.t, m.group+" shares the partitions", func() bool {
		var held []int32
		for _, p := range members {
			one := p.assigned()
			if len(one) < groupPartitions/len(members) {
				return false
			}
			held = append(held, one...)
		}
		slices.Sort(held)
		return slices.Equal(held, []int32{0, 1, 2, 3, 4, 5})
	})
}

// progress waits until each of these members has read more of every partition
// that it holds.
func (m *members) progress(members ...*program) {
	m.t.Helper()
	for _, p := range members {
		before := len(p.events())
		eventually(m.t, p.name+" reads", func() bool {
			read := map[int32]bool{}
			for _, e := range p.events()[before:] {
				if e.Event == "read" {
					read[e.Partition] = true
				}
			}
			return !slices.ContainsFunc(p.assigned(), func(partition int32) bool { return !read[partition] })
		})
	}
}

// finish stops the load, waits until all of it has been read and committed, and
// looks back: no record was left out.
func (m *members) finish() {
	m.t.Helper()
	ends := m.stop()
	admin := franz{}.admin(m.t, m.address)
	var last kadm.OffsetResponses
	eventually(m.t, m.group+" has committed the ends", func() bool {
		committed, err := admin.FetchOffsets(patient(m.t), m.group)
		if err != nil {
			m.t.Fatal(err)
		}
		last = committed
		for partition, end := range ends {
			if o, ok := committed.Lookup(m.topic, partition); !ok || o.At != end {
				return false
			}
		}
		return true
	})
	for partition, end := range ends {
		var distinct, all int
		eventually(m.t, "all was read, by what the members tell", func() bool {
			distinct, all = m.read(partition)
			return distinct >= int(end)
		})
		if distinct != int(end) {
			m.t.Errorf("partition %d: %d offsets were read, of %d", partition, distinct, end)
		}
		m.t.Logf("partition %d: %d records, %d read again; committed %d", partition, end, all-distinct, last[m.topic][partition].At)
	}
}

// read counts the offsets of a partition that were read, and all readings.
func (m *members) read(partition int32) (distinct, all int) {
	m.t.Helper()
	seen := map[int64]bool{}
	for _, p := range m.all {
		for _, e := range p.events() {
			if e.Event == "read" && e.Partition == partition {
				for offset := e.First; offset <= e.Last; offset++ {
					seen[offset] = true
					all++
				}
			}
		}
	}
	return len(seen), all
}

// committed is what the group has committed, asked of the coordinator.
func (m *members) committed() map[int32]int64 {
	m.t.Helper()
	answer, err := franz{}.admin(m.t, m.address).FetchOffsets(patient(m.t), m.group)
	if err != nil {
		m.t.Fatal(err)
	}
	places := map[int32]int64{}
	answer.Each(func(o kadm.OffsetResponse) { places[o.Partition] = o.At })
	return places
}

// resumed waits until p has read each partition that it did not hold when it had
// told so many events, and checks that it began at a commit: not before what
// was committed then, and not beyond what others had read.
func (m *members) resumed(p *program, since int, partitions []int32, committed map[int32]int64) {
	m.t.Helper()
	first := map[int32]int64{}
	eventually(m.t, p.name+" goes on with partitions of others", func() bool {
		for _, e := range p.events()[since:] {
			if _, seen := first[e.Partition]; e.Event == "read" && !seen && slices.Contains(partitions, e.Partition) {
				first[e.Partition] = e.First
			}
		}
		return len(first) == len(partitions)
	})
	for partition, offset := range first {
		end := int64(0)
		for _, other := range m.all {
			for _, e := range other.events() {
				if other != p && e.Event == "read" && e.Partition == partition {
					end = max(end, e.Last+1)
				}
			}
		}
		if offset < committed[partition] || offset > end {
			m.t.Errorf("partition %d: a new member began at %d; %d had been committed and %d read", partition, offset, committed[partition], end)
		}
	}
}

// without is what some hold that one doesn't.
func without(held, own []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(held), func(p int32) bool { return slices.Contains(own, p) })
}

// checkGroup is the life of a group under load: three members come one by one,
// one is killed and one leaves, and the last goes on from their commits.
func checkGroup(t *testing.T, address string, c groupClient) {
	m := startMembers(t, address, "load-"+c.name+"-"+c.protocol)
	a := m.join(c, "", groupSession)
	m.share(a)
	m.progress(a)
	b := m.join(c, "", longSession)
	m.share(a, b)
	killed := m.join(c, "", groupSession)
	m.share(a, b, killed)
	m.progress(a, b, killed)

	ownA, ownB := a.assigned(), b.assigned()
	sinceA, sinceB, committed := len(a.events()), len(b.events()), m.committed()
	killed.kill()
	m.share(a, b)
	m.resumed(a, sinceA, without(a.assigned(), ownA), committed)
	m.resumed(b, sinceB, without(b.assigned(), ownB), committed)
	m.progress(a, b)

	ownA, sinceA, committed = a.assigned(), len(a.events()), m.committed()
	b.ask(map[string]any{"do": "leave"})
	m.share(a) // by the classic protocol its session would run longer than this waits
	m.resumed(a, sinceA, without(a.assigned(), ownA), committed)
	m.finish()
	a.ask(map[string]any{"do": "leave"})
	m.empty()
}

// empty waits until the group has no members.
func (m *members) empty() {
	m.t.Helper()
	admin := franz{}.admin(m.t, m.address)
	eventually(m.t, m.group+" is empty", func() bool {
		groups, err := admin.DescribeGroups(patient(m.t), m.group)
		if err != nil {
			m.t.Fatal(err)
		}
		if groups[m.group].State == "Empty" {
			return true
		}
		modern, err := admin.DescribeConsumerGroups(patient(m.t), m.group)
		return err == nil && modern[m.group].State == "Empty"
	})
}

// checkStatic kills a static member and starts it again: it gets what it had,
// from its commit on, and the others notice nothing. In KIP-848's protocol a
// static member must say that it goes for a while before it may come back.
func checkStatic(t *testing.T, address string, c groupClient) {
	m := startMembers(t, address, "static-"+c.name+"-"+c.protocol)
	a := m.join(c, "one", longSession)
	m.share(a) // it leads
	b := m.join(c, "two", longSession)
	restarted := m.join(c, "three", longSession)
	m.share(a, b, restarted)
	m.progress(a, b, restarted)

	held, heard := restarted.assigned(), a.count("assigned")+b.count("assigned")
	committed := m.committed()
	if c.protocol == "consumer" {
		restarted.ask(map[string]any{"do": "leave"})
	}
	restarted.kill()
	back := m.join(c, "three", longSession)
	m.share(a, b, back)
	if got := back.assigned(); !slices.Equal(got, held) {
		t.Errorf("back, it holds %v; it held %v", got, held)
	}
	m.resumed(back, 0, held, committed)
	m.progress(a, b, back)
	if now := a.count("assigned") + b.count("assigned"); now != heard {
		t.Errorf("the others were assigned partitions %d times", now-heard)
	}
	m.finish()
}

// goMembers are the Go clients as members of groups, of the classic protocol.
func goMembers(t *testing.T) []groupClient {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "member")
	if out, err := exec.Command("go", "build", "-o", binary, "./member").CombinedOutput(); err != nil {
		t.Fatalf("build member: %v\n%s", err, out)
	}
	var all []groupClient
	for name, static := range map[string]bool{"franz-go": true, "librdkafka": true, "sarama": true, "kafka-go": false} {
		all = append(all, groupClient{name, []string{binary, name}, "classic", static})
	}
	slices.SortFunc(all, func(a, b groupClient) int { return slices.Compare([]byte(a.name), []byte(b.name)) })
	return all
}

// checkGroups runs both checks for several clients, side by side: they wait most
// of the time.
func checkGroups(t *testing.T, clients []groupClient) {
	_, address := startDev(t, t.TempDir(), "127.0.0.1:0", groupConfigs()...)
	_, patientAddress := startDev(t, t.TempDir(), "127.0.0.1:0", patientConfigs()...)
	checkGroupsAt(t, address, patientAddress, clients)
}

// checkGroupsAt does so where address has groupConfigs and patientAddress patientConfigs.
func checkGroupsAt(t *testing.T, address, patientAddress string, clients []groupClient) {
	for _, c := range clients {
		t.Run(c.name+" "+c.protocol, func(t *testing.T) {
			t.Parallel()
			checkGroup(t, address, c)
		})
		if c.static {
			t.Run(c.name+" "+c.protocol+" static", func(t *testing.T) {
				t.Parallel()
				checkStatic(t, patientAddress, c)
			})
		}
	}
}

func TestGroups(t *testing.T) { checkGroups(t, goMembers(t)) }
