package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// harness is a server under test and what it was seen to do.
type harness struct {
	*testing.T
	server *Server
	ln     net.Listener
	dial   func() net.Conn
	stop   context.CancelFunc // begins the drain
	served chan error
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// pipeListener hands out net.Pipes, so that synctest sees all goroutines of a connection wait.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// startTCP serves routes on a port of 127.0.0.1.
func startTCP(t *testing.T, routes []Route, change ...func(*ServerConfig)) *harness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, ln, func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}, routes, change)
}

// startPipe serves routes over pipes, for tests in a synctest bubble.
func startPipe(t *testing.T, routes []Route, change ...func(*ServerConfig)) *harness {
	t.Helper()
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	return start(t, ln, func() net.Conn {
		client, server := net.Pipe()
		ln.conns <- server
		return client
	}, routes, change)
}

func start(t *testing.T, ln net.Listener, dial func() net.Conn, routes []Route, change []func(*ServerConfig)) *harness {
	t.Helper()
	h := &harness{T: t, ln: ln, dial: dial, served: make(chan error, 1), log: &lockedBuffer{}}
	cfg := ServerConfig{Limits: DefaultLimits(), Listener: "test", Log: slog.New(slog.NewTextHandler(h.log, nil)), PoisonFrames: true}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if h.server, err = NewServer(cfg, routes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	go func() { h.served <- h.server.Serve(ctx, ln) }()
	return h
}

// finish stops the server and checks that nothing is left of the requests.
func (h *harness) finish() {
	h.Helper()
	h.server.CloseConnections()
	h.stop()
	if err := <-h.served; err != nil {
		h.Errorf("Serve: %v", err)
	}
	h.ln.Close()
	checkNothingHeld(h.T, h.server)
}

func checkNothingHeld(t *testing.T, s *Server) {
	t.Helper()
	if got := s.Stats(); got != (Stats{BytesIdle: got.BytesIdle}) || got.BytesIdle > idleFrameBytesMax {
		t.Errorf("left behind: %+v", got)
	}
	if !s.decoded.TryAcquire(s.limits.ServerBytesDecodedMax) {
		t.Error("bytes are still charged")
	}
	whole, left := newBudget(s.limits.ServerBytesInFlightMax, s.limits.FrameBytesMax), s.budget
	if left.mu.shared != whole.mu.shared || len(left.mu.growing) > 0 {
		t.Errorf("frames' bytes are still charged: %+v", &left.mu)
	}
	for kind, k := range left.mu.kinds {
		if k.reserve != whole.mu.kinds[kind].reserve || len(k.waiting) > 0 || k.overdraw != nil {
			t.Errorf("frames of kind %d are still charged: %+v", kind, k)
		}
	}
}

// client speaks Kafka by hand.
type client struct {
	*testing.T
	net.Conn
}

func (h *harness) client() *client { return &client{h.T, h.dial()} }

// frame makes a request with its length in front.
func frame(correlation int32, m kmsg.Request) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(m.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(m.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 4, 't', 'e', 's', 't')
	if m.IsFlexible() {
		b = append(b, 0)
	}
	b = m.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) write(b []byte) {
	c.Helper()
	if _, err := c.Conn.Write(b); err != nil {
		c.Errorf("sending: %v", err)
	}
}

func (c *client) send(correlation int32, m kmsg.Request) {
	c.Helper()
	c.write(frame(correlation, m))
}

// receive reads one answer: its correlation id and what follows.
func (c *client) receive() (int32, []byte) {
	c.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		c.Fatalf("receiving: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.Conn, b); err != nil {
		c.Fatalf("receiving: %v", err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

func (c *client) expect(correlations ...int32) {
	c.Helper()
	for _, want := range correlations {
		if got, _ := c.receive(); got != want {
			c.Fatalf("answer to request %d, want %d", got, want)
		}
	}
}

// expectClosed reads the end of the connection.
func (c *client) expectClosed() {
	c.Helper()
	if n, err := c.Conn.Read(make([]byte, 1)); err == nil {
		c.Fatalf("got %d byte instead of the connection's end", n)
	}
}

func produce(batches ...string) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	t := kmsg.NewProduceRequestTopic()
	t.Topic = "t"
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition = int32(i)
		p.Records = []byte(b)
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return m
}

func metadata() *kmsg.MetadataRequest {
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(9)
	return m
}

func fetch() *kmsg.FetchRequest {
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(12)
	return m
}

func apiVersions(version int16) *kmsg.ApiVersionsRequest {
	m := kmsg.NewPtrApiVersionsRequest()
	m.SetVersion(version)
	m.ClientSoftwareName, m.ClientSoftwareVersion = "tester", "1.0"
	return m
}

// first is the text of a produce request's first batch.
func first(r *Request) string {
	return string(r.Message.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records)
}

// answerProduce is an answer at once.
func answerProduce(context.Context) Answer { return Answer{Message: kmsg.NewPtrProduceResponse()} }

func startNothing(context.Context, *Request) func(context.Context) Answer { return answerProduce }

func handleMetadata(context.Context, *Request) Answer {
	return Answer{Message: kmsg.NewPtrMetadataResponse()}
}

// waiting is a Pending of which nobody knows whether it waits.
type waiting func(context.Context) Answer

func (w waiting) Ready() bool                       { return false }
func (w waiting) Answer(ctx context.Context) Answer { return w(ctx) }

func produceRoute(f func(ctx context.Context, r *Request) func(context.Context) Answer) Route {
	return Route{Key: KeyProduce, Max: 13, Start: func(ctx context.Context, r *Request) Pending { return waiting(f(ctx, r)) }}
}

func metadataRoute(f func(ctx context.Context, r *Request) Answer) Route {
	return Route{Key: 3, Max: 13, Handle: f}
}

func fetchRoute(f func(ctx context.Context, r *Request) Answer) Route {
	return Route{Key: 1, Min: 4, Max: 18, Handle: f}
}

func limits(f func(*Limits)) func(*ServerConfig) {
	return func(cfg *ServerConfig) { f(&cfg.Limits) }
}
