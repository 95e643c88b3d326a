package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/agent/broker"
	"github.com/wadi-io/wadi/metastore"
)

// pipes is a listener whose connections are pipes, so that an agent and its
// clients can live in a bubble of fake time.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  func()
	port   int
	mu     struct {
		sync.Mutex
		conns []net.Conn
	}
}

func newPipes() *pipes {
	p := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{}), port: 9092}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.port} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialed <- there:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mu.conns = append(p.mu.conns, there)
		return here, nil
	case <-p.closed:
		return nil, refused()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refused is what a dial comes to where nobody listens, as clients know it.
func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// sever closes the listener and all connections, as the end of a process does.
func (p *pipes) sever() {
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.mu.conns {
		c.Close()
	}
}

// started is an agent under test.
type started struct {
	*Agent
	t       *testing.T
	process *process
	pipes   *pipes
	stop    func() error
}

func start(t *testing.T, change func(*Config)) *started {
	t.Helper()
	cfg := Default()
	cfg.Bucket, cfg.Metastore = "mem://", "memory://"
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Ingest.PutsPerSecondMax = 1000
	s := &started{t: t, pipes: newPipes()}
	cfg.Given.Listener = s.pipes
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Agent, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { s.stop() })
	select {
	case <-s.Ready():
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	s.process = s.serving.Load().process
	return s
}

func (s *started) client(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(s.pipes.dial)}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func (s *started) create(topic string, partitions int32) {
	s.t.Helper()
	r, err := kadm.NewClient(s.client()).CreateTopic(s.t.Context(), partitions, 1, nil, topic)
	if err != nil || r.Err != nil {
		s.t.Fatal(err, r.Err)
	}
}

// cost is what bucket and metastore were asked for.
type cost struct {
	puts, gets int64
	statements metastore.Statements
}

func (s *started) cost() cost {
	return cost{s.process.requests.Puts.Load(), s.process.requests.Gets.Load(), s.process.store.Statements()}
}

func (c cost) since(e cost) cost {
	return cost{c.puts - e.puts, c.gets - e.gets, c.statements.Since(e.statements)}
}

func record(topic string, partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
}

func TestAgent_CostOfAnIdleMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 8)
		time.Sleep(10*time.Second + 500*time.Millisecond)
		before := s.cost()
		time.Sleep(time.Minute)
		c := s.cost().since(before)
		if c.puts != 0 || c.gets != 0 || c.statements.Append != 0 {
			t.Errorf("%d PUTs, %d GETs, %d appends", c.puts, c.gets, c.statements.Append)
		}
		// A read and a look for other agents each second, a renewal and a look at the clock
		// every 5 s, a look for dead terms every 15 s.
		if s := c.statements; s.Read != 60 || s.RenewTerm != 12 || s.Terms != 60+4 || s.Total() != 60+60+12+12+4 {
			t.Errorf("statements: %+v", s)
		}
	})
}

func TestAgent_CostOfARecordAndItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		producer := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		reader := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
		if err := producer.ProduceSync(t.Context(), record("t", 0, "first")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := values(t, reader, 1); got != "first" {
			t.Fatalf("read %q", got)
		}
		synctest.Wait()
		before := s.cost()
		if err := producer.ProduceSync(t.Context(), record("t", 0, "second")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := values(t, reader, 1); got != "second" {
			t.Fatalf("read %q", got)
		}
		c := s.cost().since(before)
		if c.puts != 1 || c.gets != 0 || c.statements.Append != 1 || c.statements.Total()-c.statements.Read > 1 {
			t.Errorf("%d PUTs, %d GETs, statements %+v", c.puts, c.gets, c.statements)
		}
	})
}

func values(t *testing.T, c *kgo.Client, n int) string {
	t.Helper()
	var got []string
	for len(got) < n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		fs := c.PollFetches(ctx)
		cancel()
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return strings.Join(got, " ")
}

func TestAgent_CostOfAFlushOfManyPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 600)
		conn, err := s.pipes.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		before := s.cost()
		answer, err := call(conn, s.produceFrame("t", 600, 2, 100), make([]byte, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		res := kmsg.NewPtrProduceResponse()
		res.Version = 13
		if err := res.ReadFrom(answer[5:]); err != nil {
			t.Fatal(err)
		}
		for _, p := range res.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.BaseOffset != 0 {
				t.Fatalf("partition %d: code %d, offset %d", p.Partition, p.ErrorCode, p.BaseOffset)
			}
		}
		if c := s.cost().since(before); c.puts != 1 || c.gets != 0 || c.statements.Total() != 1 || c.statements.Append != 1 {
			t.Errorf("%d PUTs, %d GETs, statements %+v", c.puts, c.gets, c.statements)
		}
	})
}

func TestAgent_ATermThatIsLostIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		c := s.client()
		for i := range 5 {
			if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			info := s.serving.Load()
			if _, err := s.process.store.EndTerm(t.Context(), info.info.Term, true); err != nil {
				t.Fatal(err)
			}
		}
		reader := s.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if got := values(t, reader, 5); got != "0 1 2 3 4" {
			t.Errorf("read %q", got)
		}
	})
}

func TestAgent_Restart(t *testing.T) {
	dir, address := t.TempDir(), "127.0.0.1:0"
	on := func(c *Config) {
		c.Folder, c.Given.Listener, c.Kafka = dir, nil, address
		c.Bucket, c.Metastore = "file://"+filepath.Join(dir, "bucket"), "sqlite://"+filepath.Join(dir, "metastore.db")
	}
	for i := range 3 {
		s := start(t, on)
		address = s.KafkaAddr() // an agent at another one would be another node for a while
		c, err := kgo.NewClient(kgo.SeedBrokers(s.KafkaAddr()), kgo.AllowAutoTopicCreation(),
			kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got, want := values(t, c, i+1), strings.Join([]string{"0", "1", "2"}[:i+1], " "); got != want {
			t.Errorf("read %q, want %q", got, want)
		}
		c.Close()
		if node := s.serving.Load().info.Node; node != 1 {
			t.Errorf("start %d has node id %d", i, node)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		// What a process leaves that is killed: a term that nobody has ended.
		store, err := openStore(t.Context(), "sqlite://"+filepath.Join(dir, "metastore.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.BeginTerm(t.Context(), metastore.AgentInfo{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// entered opens a process, tried once.
func entered(t *testing.T, cfg Config, settings *broker.Settings) (*process, error) {
	p, err := openProcess(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	if err := p.enter(t.Context(), cfg, settings); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func TestAgent_RefusesWhatItCannotServe(t *testing.T) {
	dir := t.TempDir()
	cfg := Default()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.Folder, cfg.Kafka = dir, "127.0.0.1:0"
	cfg.Bucket, cfg.Metastore = "file://"+filepath.Join(dir, "bucket"), "sqlite://"+filepath.Join(dir, "metastore.db")
	open := func(cfg Config) (*process, error) {
		settings, err := broker.ParseSettings(nil)
		if err != nil {
			t.Fatal(err)
		}
		return entered(t, cfg, settings)
	}
	first, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, words string, cfg Config) {
		t.Helper()
		if p, err := open(cfg); err == nil || !strings.Contains(err.Error(), words) {
			if err == nil {
				p.close()
			}
			t.Errorf("%s: %v, want words %q", what, err, words)
		}
	}
	refused("a second process", "another wadi process uses the folder", cfg)
	busy := cfg
	busy.Folder, busy.Kafka = "", first.door.Addr().String()
	refused("a busy port", "address already in use", busy)
	first.close()
	foreign := cfg
	foreign.Metastore = "sqlite://" + filepath.Join(dir, "other.db")
	refused("another cluster's bucket", "belongs to the cluster", foreign)
}

func TestAgent_StopsWhileReadersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.create("t", 1)
		reader := s.client(kgo.ConsumeTopics("t"), kgo.FetchMaxWait(30*time.Second))
		polled := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(polled)
			reader.PollFetches(ctx)
		}()
		time.Sleep(5 * time.Second)
		began := time.Now()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		cancel()
		<-polled
	})
}
