package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// hostileHeapMax bounds what bad requests may leave in the heap, in bytes.
const hostileHeapMax = 64 << 20

// lockedLog is a log that several goroutines write.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// onSocket starts an agent on a socket of its own, and returns its address and its log.
func onSocket(t *testing.T) (address string, log *lockedLog) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &lockedLog{}
	start(t, func(cfg *Config) {
		cfg.Given.Listener = listener
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	return listener.Addr().String(), log
}

// plausible fills a request with one of everything, so that its bytes reach every field.
func plausible(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("t")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		plausible(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		plausible(v.Index(0))
	case reflect.Struct:
		if _, tags := v.Addr().Interface().(*kmsg.Tags); tags {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				plausible(v.Field(i))
			}
		}
	}
}

// mutations are a request's frame, cut off and damaged in many ways; the length says what is there.
func mutations(rnd *rand.Rand, frame []byte) (all [][]byte) {
	const cuts, flips, lengths = 6, 8, 4
	body := frame[4:]
	add := func(b []byte) { all = append(all, append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) }
	add(body)
	add(append(bytes.Clone(body), make([]byte, 100)...))
	for range cuts {
		add(body[:rnd.IntN(len(body))])
	}
	for range flips {
		b := bytes.Clone(body)
		for range 1 + rnd.IntN(3) {
			b[8+rnd.IntN(len(b)-8)] ^= 1 << rnd.IntN(8) // not the key and the version
		}
		add(b)
	}
	for range lengths {
		b := bytes.Clone(body)
		copy(b[8+rnd.IntN(len(b)-8):], []byte{0x7f, 0xff, 0xff, 0xff})
		add(b)
	}
	return all
}

// alive returns what the agent tells a new connection that it serves.
func alive(t *testing.T, address string) *kmsg.ApiVersionsResponse {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "test", "1"
	answer, err := call(conn, frame(1, req), make([]byte, 1<<16))
	if err != nil {
		t.Fatalf("the agent serves no more: %v", err)
	}
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if err := resp.ReadFrom(answer[4:]); err != nil || resp.ErrorCode != 0 {
		t.Fatalf("%v, %+v", err, resp)
	}
	return resp
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sendAndLeave sends a frame, says that nothing follows, and reads until the agent closes.
func sendAndLeave(address string, frame []byte) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(frame); err != nil {
		return nil // closed already
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return nil
	}
	if _, err = io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection isn't closed: %w", err)
	}
	return nil
}

// TestHostile_Bodies: cut-off and damaged requests of every API and version cost their
// connection at most. There is no panic, and what they took is given back.
func TestHostile_Bodies(t *testing.T) {
	address, log := onSocket(t)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 7, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 2, -1
	create.Topics = append(create.Topics, topic)
	if err := sendAndLeave(address, frame(1, create)); err != nil {
		t.Fatal(err)
	}
	before := heap()
	const workersMax = 8
	slots := make(chan struct{}, workersMax)
	var workers sync.WaitGroup
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := 0
	for _, api := range alive(t, address).ApiKeys {
		for version := api.MinVersion; version <= api.MaxVersion; version++ {
			req := kmsg.RequestForKey(api.ApiKey)
			plausible(reflect.ValueOf(req).Elem())
			req.SetVersion(version)
			for _, bad := range mutations(rnd, frame(1, req)) {
				sent++
				slots <- struct{}{}
				workers.Go(func() {
					defer func() { <-slots }()
					if err := sendAndLeave(address, bad); err != nil {
						t.Errorf("%s version %d, %x: %v", kmsg.NameForKey(api.ApiKey), version, bad, err)
					}
				})
			}
		}
	}
	workers.Wait()
	alive(t, address)
	if text := log.String(); strings.Contains(text, "panic") {
		t.Errorf("a panic: %.3000s", text[max(0, strings.Index(text, "panic")-500):])
	}
	if after := heap(); after > before+hostileHeapMax {
		t.Errorf("%d requests left %d bytes in the heap", sent, after-before)
	}
	t.Logf("%d requests", sent)
}

// TestHostile_Frames: what a frame claims to hold costs nothing before it comes, however
// many claim it; a frame that is too large, or of no known kind, costs its connection.
func TestHostile_Frames(t *testing.T) {
	address, _ := onSocket(t)
	before := heap()
	const slow, claimed = 300, 90 << 20
	for range slow {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := binary.BigEndian.AppendUint32(nil, claimed)
		begin = append(begin, 0, 0, 0, 9) // Produce 9
		if _, err := conn.Write(append(begin, make([]byte, 1000)...)); err != nil {
			t.Fatal(err)
		}
	}
	alive(t, address)
	if after := heap(); after > before+hostileHeapMax {
		t.Errorf("%d frames that claim %d bytes took %d", slow, claimed, after-before)
	}
	whole := func(size int, key int16) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(size))
		b = binary.BigEndian.AppendUint16(b, uint16(key))
		return append(b, make([]byte, min(size, 1<<20)-2)...)
	}
	for name, frame := range map[string][]byte{
		"too large":             whole(1<<30, 0),
		"of 2³¹−1 bytes":        whole(1<<31-1, 0),
		"of a negative size":    {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9},
		"empty":                 {0, 0, 0, 0},
		"of an unknown kind":    whole(600<<10, 999),
		"of a negative kind":    whole(1000, -1),
		"a large Metadata":      whole(1<<20, 3),
		"a large ApiVersions":   whole(700<<10, 18),
		"another protocol's":    []byte("GET / HTTP/1.1\r\nHost: wadi\r\n\r\n"),
		"the begin of a length": {0, 0},
	} {
		if err := sendAndLeave(address, frame); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	alive(t, address)
}
