package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsRoute answers from the table that it is part of, as a broker does.
func apiVersionsRoute(routes *[]Route) Route {
	return Route{Key: KeyAPIVersions, Max: 3, Handle: func(context.Context, *Request) Answer {
		m := kmsg.NewPtrApiVersionsResponse()
		m.ApiKeys = APIs(*routes)
		return Answer{Message: m}
	}}
}

func TestApiVersions_AnswersFromTheTable(t *testing.T) {
	var routes []Route
	routes = []Route{apiVersionsRoute(&routes), metadataRoute(handleMetadata), fetchRoute(handleMetadata)}
	h := startTCP(t, routes)
	c := h.client()
	for version := int16(0); version <= 3; version++ {
		c.send(int32(version), apiVersions(version))
		correlation, b := c.receive()
		m := kmsg.NewPtrApiVersionsResponse()
		m.SetVersion(version)
		if err := m.ReadFrom(b); err != nil || correlation != int32(version) {
			t.Fatalf("version %d: answer %d: %v", version, correlation, err)
		}
		if !reflect.DeepEqual(m.ApiKeys, h.server.APIs()) || len(m.ApiKeys) != 3 || m.ApiKeys[0].ApiKey != 1 || m.ApiKeys[0].MinVersion != 4 {
			t.Errorf("version %d: %+v", version, m.ApiKeys)
		}
		if n := len(m.AppendTo(nil)); n != len(b) {
			t.Errorf("version %d: %d bytes of %d understood", version, n, len(b))
		}
	}
	h.finish()
}

func TestApiVersions_UnknownVersionGetsVersionZero(t *testing.T) {
	var routes []Route
	routes = []Route{apiVersionsRoute(&routes), metadataRoute(handleMetadata)}
	h := startTCP(t, routes)
	c := h.client()
	for i, version := range []uint16{4, 99, 0xffff} {
		b := []byte{0, 0, 0, 16, 0, 18, byte(version >> 8), byte(version), 0, 0, 0, byte(i)}
		c.write(append(b, "whatever"...)) // nobody knows how it goes on
		correlation, b := c.receive()
		want := []byte{0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3}
		if correlation != int32(i) || !bytes.Equal(b, want) {
			t.Errorf("version %d: got %x, want %x", version, b, want)
		}
	}
	c.send(9, metadata())
	c.expect(9)
	h.finish()
}

func TestRequest_KnowsItsConnectionAndClient(t *testing.T) {
	var got []string
	routes := []Route{
		{Key: KeyAPIVersions, Max: 4, Handle: func(_ context.Context, r *Request) Answer {
			r.Conn.SetValue("state")
			return Answer{Message: kmsg.NewPtrApiVersionsResponse()}
		}},
		metadataRoute(func(_ context.Context, r *Request) Answer {
			name, version := r.Conn.Software()
			state, _ := r.Conn.Value().(string)
			got = append(got, r.ClientID, r.Conn.Listener(), name, version, state, r.Conn.RemoteAddr().Network())
			return Answer{Message: kmsg.NewPtrMetadataResponse()}
		}),
	}
	h := startTCP(t, routes)
	c := h.client()
	m := apiVersions(4)
	m.ClientSoftwareVersion = strings.Repeat("9", 1000)
	c.send(1, m)
	c.expect(1)
	c.send(2, metadata())
	c.expect(2)
	h.finish()
	want := []string{"test", "test", "tester", strings.Repeat("9", 256), "state", "tcp"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestHeader_NullClientIDAndTaggedFields(t *testing.T) {
	for _, x := range []struct {
		name     string
		b        string
		flexible bool
		client   string
		body     string
		want     error
	}{
		{"version 1", "\x00\x02abbody", false, "ab", "body", nil},
		{"version 1, null", "\xff\xffbody", false, "", "body", nil},
		{"version 2", "\x00\x02ab\x00body", true, "ab", "body", nil},
		{"version 2, null and tagged", "\xff\xff\x02\x00\x01x\x07\x00body", true, "", "body", nil},
		{"ends in the client id", "\x00\x02a", false, "", "", errLength},
		{"ends before it", "\x00", false, "", "", errShort},
		{"a length of -2", "\xff\xfe", false, "", "", errLength},
		{"ends in the tagged fields", "\xff\xff\x01\x00", true, "", "", errLength},
		{"2^27 tagged fields", "\xff\xff\xff\xff\xff\x3f\x00", true, "", "", errLength},
	} {
		client, body, err := parseClientID([]byte(x.b), x.flexible)
		if !errors.Is(err, x.want) || string(client) != x.client || string(body) != x.body {
			t.Errorf("%s: got %q, %q, %v", x.name, client, body, err)
		}
	}
}

func TestAnswer_HeaderIsTheVersions(t *testing.T) {
	h := startTCP(t, []Route{metadataRoute(func(_ context.Context, r *Request) Answer {
		if r.Version == 10 {
			return Answer{Raw: [][]byte{[]byte("raw "), []byte("body")}}
		}
		return Answer{Message: kmsg.NewPtrMetadataResponse()}
	})})
	c := h.client()
	for version := int16(0); version <= 13; version++ {
		m := metadata()
		m.SetVersion(version)
		c.send(7, m)
		_, b := c.receive()
		if version >= 9 {
			if b[0] != 0 {
				t.Errorf("version %d: no tagged fields in the header: %x", version, b)
			}
			b = b[1:]
		}
		answer := kmsg.NewPtrMetadataResponse()
		answer.SetVersion(version)
		want := answer.AppendTo(nil)
		if version == 10 {
			want = []byte("raw body")
		}
		if !bytes.Equal(b, want) {
			t.Errorf("version %d: %x, want %x", version, b, want)
		}
	}
	h.finish()
}

func TestRaw_IsWrittenWholeAndReleasedOnce(t *testing.T) {
	var raw [][]byte
	for i := range 2000 { // more than one writev takes
		raw = append(raw, bytes.Repeat([]byte{byte(i)}, i))
	}
	released := make(chan struct{}, 2)
	h := startTCP(t, []Route{fetchRoute(func(context.Context, *Request) Answer {
		return Answer{Raw: raw, Release: func() { released <- struct{}{} }}
	})})
	c := h.client()
	want := bytes.Join(raw, nil)
	for range 2 {
		c.send(1, fetch())
		if _, b := c.receive(); !bytes.Equal(b[1:], want) {
			t.Error("other bytes arrived")
		}
		<-released
	}
	h.finish()
}

func TestFrame_RetainedOutlivesItsAnswer(t *testing.T) {
	var frame *Frame
	var bytes []byte
	h := startTCP(t, []Route{produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
		if frame == nil {
			r.Frame.Retain()
			frame, bytes = r.Frame, r.Message.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
		}
		return answerProduce
	})})
	c := h.client()
	for i := range 10 {
		c.send(int32(i), produce("kept"))
		c.expect(int32(i))
	}
	if string(bytes) != "kept" {
		t.Errorf("the frame became %q", bytes)
	}
	if n := h.server.Stats().BytesInFlight; n == 0 {
		t.Error("a frame that is held is not charged")
	}
	frame.Release()
	if string(bytes) == "kept" {
		t.Error("not overwritten after its release")
	}
	h.finish()
	mustPanic(t, frame.Release)
	mustPanic(t, new(Frame).Retain)
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	f()
}

func TestFrameClass_FitsClosely(t *testing.T) {
	last := -1
	for n := 1; n <= frameBytesClass; n += 1 + n/97 {
		class, size := frameClass(n)
		if size < n || n > 512 && size > n+n/8 || class < last || class >= frameClasses {
			t.Fatalf("%d bytes: class %d of %d", n, class, size)
		}
		last = class
	}
	if class, size := frameClass(frameBytesClass); class != frameClasses-1 || size != frameBytesClass {
		t.Errorf("the largest class is %d of %d", class, size)
	}
}

type observed struct {
	mu   sync.Mutex
	list []int
}

func (o *observed) Answered(key, version int16, requestBytes, answerBytes int, took time.Duration) {
	o.mu.Lock()
	o.list = append(o.list, int(key), int(version), requestBytes, answerBytes, int(took/time.Second))
	o.mu.Unlock()
}

func TestObserver_SeesEveryAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o observed
		h := startPipe(t, []Route{metadataRoute(func(context.Context, *Request) Answer {
			time.Sleep(3 * time.Second)
			return Answer{Raw: [][]byte{make([]byte, 10)}}
		})}, func(cfg *ServerConfig) { cfg.Observer = &o })
		c := h.client()
		c.send(1, metadata())
		c.expect(1)
		c.Close()
		h.finish()
		if want := []int{3, 9, len(frame(1, metadata())) - 4, 19, 3}; !reflect.DeepEqual(o.list, want) {
			t.Errorf("got %v, want %v", o.list, want)
		}
	})
}

func TestNewServer_Refuses(t *testing.T) {
	handle := handleMetadata
	bad := DefaultLimits()
	bad.ConnectionsMax = 0
	for name, x := range map[string]struct {
		limits Limits
		routes []Route
	}{
		"limits":             {bad, nil},
		"two routes":         {DefaultLimits(), []Route{metadataRoute(handle), metadataRoute(handle)}},
		"neither":            {DefaultLimits(), []Route{{Key: 3, Max: 1}}},
		"both":               {DefaultLimits(), []Route{{Key: 3, Max: 1, Handle: handle, Start: produceRoute(startNothing).Start}}},
		"no schema":          {DefaultLimits(), []Route{{Key: 3, Max: 14, Handle: handle}}},
		"no schema below":    {DefaultLimits(), []Route{{Key: 1, Min: 3, Max: 4, Handle: handle}}},
		"no such request":    {DefaultLimits(), []Route{{Key: 999, Handle: handle}}},
		"versions reversed":  {DefaultLimits(), []Route{{Key: 3, Min: 2, Max: 1, Handle: handle}}},
		"a negative version": {DefaultLimits(), []Route{{Key: 3, Min: -1, Max: 1, Handle: handle}}},
	} {
		if _, err := NewServer(ServerConfig{Limits: x.limits}, x.routes); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestServe_LeavesTheListenerToTheNext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for range 3 {
		s, err := NewServer(ServerConfig{Limits: DefaultLimits()}, []Route{metadataRoute(handleMetadata)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error)
		go func() { served <- s.Serve(ctx, ln) }()
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t, nc}
		c.send(1, metadata())
		c.expect(1)
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		c.expectClosed()
		checkNothingHeld(t, s)
	}
}

func TestServe_ReturnsWhatTheListenerFailedWith(t *testing.T) {
	h := startTCP(t, []Route{metadataRoute(handleMetadata)})
	c := h.client()
	c.send(1, metadata())
	c.expect(1)
	h.ln.Close()
	c.expectClosed()
	if err := <-h.served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	h.stop()
}

// FuzzFrame sends anything to a connection. It may only answer or close.
func FuzzFrame(f *testing.F) {
	f.Add(append(frame(1, produce("a", "b")), frame(2, metadata())...))
	f.Add(append(frame(1, apiVersions(3)), frame(2, fetch())...))
	f.Add([]byte{0, 0, 0, 16, 0, 18, 0, 99, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	var routes []Route
	routes = []Route{
		produceRoute(func(_ context.Context, r *Request) func(context.Context) Answer {
			sum := 0
			for _, topic := range r.Message.(*kmsg.ProduceRequest).Topics {
				for _, p := range topic.Partitions {
					for _, c := range p.Records {
						sum += int(c)
					}
				}
			}
			return answerProduce
		}),
		metadataRoute(handleMetadata),
		fetchRoute(func(context.Context, *Request) Answer { return Answer{Message: kmsg.NewPtrFetchResponse()} }),
		apiVersionsRoute(&routes),
	}
	limits := DefaultLimits()
	limits.FrameBytesMax, limits.FrameBytesUnauthenticatedMax = 1<<20, 1<<20
	limits.ConnRequestsInFlightMax = 3
	s, err := NewServer(ServerConfig{Limits: limits, PoisonFrames: true}, routes)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		client, server := net.Pipe()
		var all sync.WaitGroup
		all.Go(newConn(s, server, context.Background()).serve)
		all.Go(func() {
			client.Write(sent)
			client.Close()
		})
		for {
			var size [4]byte
			if _, err := io.ReadFull(client, size[:]); err != nil {
				break
			}
			if _, err := io.CopyN(io.Discard, client, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
				break
			}
		}
		all.Wait()
		checkNothingHeld(t, s)
		s.decoded.Release(s.limits.ServerBytesDecodedMax)
	})
}

func TestPanic_CostsItsConnectionOnly(t *testing.T) {
	for name, routes := range map[string][]Route{
		"handle": {metadataRoute(func(context.Context, *Request) Answer { panic("a bug") })},
		"start":  {produceRoute(func(context.Context, *Request) func(context.Context) Answer { panic("a bug") })},
		"wait": {produceRoute(func(context.Context, *Request) func(context.Context) Answer {
			return func(context.Context) Answer { panic("a bug") }
		})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				routes := append(routes, fetchRoute(func(context.Context, *Request) Answer {
					return Answer{Message: kmsg.NewPtrFetchResponse()}
				}))
				h := startPipe(t, routes)
				bystander, c := h.client(), h.client()
				if name == "handle" {
					c.send(1, metadata())
				} else {
					c.send(1, produce("x"))
				}
				c.expectClosed()
				bystander.send(2, fetch())
				bystander.expect(2)
				bystander.Close()
				h.finish()
				if !strings.Contains(h.log.String(), "a bug") {
					t.Error("the log doesn't tell of the panic")
				}
			})
		})
	}
}
