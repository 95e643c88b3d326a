package agent

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumer is a member of a group under test.
type consumer struct {
	*kgo.Client
	joins atomic.Int32  // JoinGroup requests sent
	news  chan struct{} // something was read
	mu    struct {
		sync.Mutex
		owned map[int32]bool // partitions of topic t
		read  []string
	}
	polling sync.WaitGroup
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (c *consumer) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == kmsg.JoinGroup.Int16() && err == nil {
		c.joins.Add(1)
	}
}

func (c *consumer) owns() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []int32
	for p := range c.mu.owned {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

func (c *consumer) note(assigned bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, p := range partitions["t"] {
			if assigned {
				c.mu.owned[p] = true
			} else {
				delete(c.mu.owned, p)
			}
		}
	}
}

// member joins group g, for topic t, and polls until it is closed.
func (s *started) member(opts ...kgo.Opt) *consumer {
	s.t.Helper()
	c := &consumer{news: make(chan struct{}, 1)}
	c.mu.owned = map[int32]bool{}
	c.Client = s.client(append([]kgo.Opt{
		kgo.WithHooks(c), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(c.note(true)), kgo.OnPartitionsRevoked(c.note(false)), kgo.OnPartitionsLost(c.note(false)),
		kgo.DisableAutoCommit(),
	}, opts...)...)
	c.polling.Go(func() {
		for {
			fs := c.PollFetches(s.t.Context())
			if fs.IsClientClosed() || s.t.Context().Err() != nil {
				return
			}
			c.mu.Lock()
			fs.EachRecord(func(r *kgo.Record) { c.mu.read = append(c.mu.read, string(r.Value)) })
			c.mu.Unlock()
			select {
			case c.news <- struct{}{}:
			default:
			}
		}
	})
	s.t.Cleanup(c.leave)
	return c
}

func (c *consumer) leave() {
	c.Close()
	c.polling.Wait()
}

func (c *consumer) values() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.mu.read))
}

func (s *started) produce(partitions int32, values ...string) {
	s.t.Helper()
	c := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	for i, v := range values {
		if err := c.ProduceSync(s.t.Context(), record("t", int32(i)%partitions, v)).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func all(n int32) []int32 {
	var list []int32
	for p := range n {
		list = append(list, p)
	}
	return list
}

func TestGroups_JoinRebalanceLeaveResume(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, nil)
				s.create("t", 6)
				s.produce(6, "a", "b", "c", "d", "e", "f")
				opt := kgo.Balancers(balancer)
				one := s.member(opt)
				time.Sleep(15 * time.Second) // a fetch may have begun before all offsets were known, and wait for 5 s
				if got := one.owns(); !slices.Equal(got, all(6)) {
					t.Fatalf("alone it owns %v", got)
				}
				if got := one.values(); len(got) != 6 {
					t.Fatalf("read %q", got)
				}
				if err := one.CommitUncommittedOffsets(t.Context()); err != nil {
					t.Fatal(err)
				}
				two, three := s.member(opt), s.member(opt)
				time.Sleep(20 * time.Second)
				joint := slices.Concat(one.owns(), two.owns(), three.owns())
				slices.Sort(joint)
				if !slices.Equal(joint, all(6)) || len(one.owns()) != 2 || len(two.owns()) != 2 {
					t.Fatalf("three own %v, %v, %v", one.owns(), two.owns(), three.owns())
				}
				one.leave()
				two.leave()
				time.Sleep(20 * time.Second)
				if got := three.owns(); !slices.Equal(got, all(6)) {
					t.Fatalf("the last owns %v", got)
				}
				s.produce(6, "g", "h", "i", "j", "k", "l")
				time.Sleep(time.Second)
				if got := three.values(); len(got) != 6 || got[0] != "g" {
					t.Errorf("it read %q after what the first had committed", got)
				}
				three.leave()
				described, err := kadm.NewClient(s.client()).DescribeGroups(t.Context(), "g")
				if err != nil || described["g"].State != "Empty" || described["g"].ProtocolType != "consumer" {
					t.Errorf("%+v, %v", described, err)
				}
			})
		})
	}
}

// TestGroups_ATermThatIsLost: the next term's coordinator goes on with the generation.
func TestGroups_ATermThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		one, two := s.member(), s.member()
		time.Sleep(10 * time.Second)
		joins := one.joins.Load() + two.joins.Load()
		for i := range 5 {
			s.produce(4, fmt.Sprint(i))
			if _, err := s.process.store.EndTerm(t.Context(), s.serving.Load().info.Term, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
			for _, c := range []*consumer{one, two} {
				if err := c.CommitUncommittedOffsets(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := one.joins.Load() + two.joins.Load(); got != joins {
			t.Errorf("%d JoinGroups after the first term", got-joins)
		}
		if got := len(one.values()) + len(two.values()); got != 5 {
			t.Errorf("%d records read", got)
		}
		if len(one.owns()) != 2 || len(two.owns()) != 2 {
			t.Errorf("they own %v and %v", one.owns(), two.owns())
		}
	})
}

// TestGroups_StaticMemberRestart: it gets its partitions again, and nobody rebalances.
func TestGroups_StaticMemberRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		one, two := s.member(kgo.InstanceID("one")), s.member(kgo.InstanceID("two"))
		time.Sleep(10 * time.Second)
		owned, joins := one.owns(), two.joins.Load()
		if len(owned) != 2 {
			t.Fatalf("it owns %v", owned)
		}
		for range 3 {
			one.CloseAllowingRebalance() // a static member doesn't leave
			one = s.member(kgo.InstanceID("one"))
			time.Sleep(10 * time.Second)
			if got := one.owns(); !slices.Equal(got, owned) {
				t.Errorf("it owns %v, and owned %v", got, owned)
			}
		}
		if got := two.joins.Load(); got != joins {
			t.Errorf("the other one joined %d times more", got-joins)
		}
	})
}

// TestGroups_AMemberThatIsLost is removed when its session expires.
func TestGroups_AMemberThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 4)
		cut, sever := context.WithCancel(t.Context())
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if cut.Err() != nil {
				return nil, cut.Err()
			}
			conn, err := s.pipes.dial(ctx, network, address)
			if err == nil {
				context.AfterFunc(cut, func() { conn.Close() })
			}
			return conn, err
		}
		one, two := s.member(), s.member(kgo.Dialer(dial), kgo.SessionTimeout(10*time.Second))
		time.Sleep(10 * time.Second)
		if len(two.owns()) != 2 {
			t.Fatalf("it owns %v", two.owns())
		}
		sever()
		time.Sleep(20 * time.Second)
		if got := one.owns(); !slices.Equal(got, all(4)) {
			t.Errorf("the one left owns %v", got)
		}
	})
}

// TestGroups_ProcessRestart: a stable group outlives the process, and its members don't join again.
func TestGroups_ProcessRestart(t *testing.T) {
	dir := t.TempDir()
	address := "127.0.0.1:0"
	on := func(c *Config) {
		c.Folder, c.Given.Listener, c.Kafka = dir, nil, address
		c.Bucket, c.Metastore = "file://"+filepath.Join(dir, "bucket"), "sqlite://"+filepath.Join(dir, "metastore.db")
		c.Settings = map[string]string{"group.initial.rebalance.delay.ms": "0"}
	}
	s := start(t, on)
	address = s.KafkaAddr()
	tcp := func() []kgo.Opt {
		return []kgo.Opt{kgo.SeedBrokers(address), kgo.Dialer((&net.Dialer{}).DialContext), kgo.HeartbeatInterval(100 * time.Millisecond)}
	}
	c := s.client(tcp()...)
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	one := s.member(tcp()...)
	await := func(want string) {
		t.Helper()
		timeout := time.After(time.Minute)
		for !slices.Contains(one.values(), want) {
			select {
			case <-one.news:
			case <-timeout:
				t.Fatalf("it has read %q, not %q", one.values(), want)
			}
		}
	}
	put := func(value string) {
		t.Helper()
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	await("first")
	joins := one.joins.Load()
	for i := range 3 {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s = start(t, on)
		put(fmt.Sprint(i))
		await(fmt.Sprint(i))
		if err := one.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := one.joins.Load(); got != joins {
		t.Errorf("%d JoinGroups after restarts", got-joins)
	}
}

// TestGroups_CostOfAThousandGroups: each commits once a second, at any time of it.
func TestGroups_CostOfAThousandGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		const clients, groupsEach, seconds = 50, 20, 5
		var committing sync.WaitGroup
		for i := range clients {
			admin := kadm.NewClient(s.client())
			for j := range groupsEach {
				committing.Go(func() {
					id := fmt.Sprintf("group-%d-%d", i, j)
					next := time.Duration(i*groupsEach+j) * time.Millisecond
					began := time.Now()
					for second := range seconds {
						time.Sleep(time.Until(began.Add(next + time.Duration(second)*time.Second)))
						var offsets kadm.Offsets
						offsets.Add(kadm.Offset{Topic: "t", At: int64(second), LeaderEpoch: -1})
						if err := admin.CommitAllOffsets(t.Context(), id, offsets); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		time.Sleep(time.Second)
		before := s.cost()
		time.Sleep((seconds - 2) * time.Second)
		cost := s.cost().since(before)
		committing.Wait()
		if got := cost.statements.Total(); got > (seconds-2)*100 || cost.puts != 0 {
			t.Errorf("in %d s %d statements %+v, %d PUTs", seconds-2, got, cost.statements, cost.puts)
		} else {
			t.Logf("a second: %d statements", got/(seconds-2))
		}
		fetched := kadm.NewClient(s.client()).FetchManyOffsets(t.Context(), "group-0-0", "group-49-19")
		if len(fetched) != 2 {
			t.Errorf("%+v", fetched)
		}
		for _, r := range fetched {
			if o, ok := r.Fetched.Lookup("t", 0); r.Err != nil || !ok || o.At != seconds-1 {
				t.Errorf("%s: %+v, %v", r.Group, o, r.Err)
			}
		}
	})
}
