package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/wire/batch"
)

// nonsense draws requests that decode well and mean nonsense: fields at their bounds, of each
// other's kinds, and now and then right, so that state grows on which the next ones act.
type nonsense struct {
	rnd    *rand.Rand
	topics [][16]byte
}

func pick[T any](v *nonsense, of ...T) T { return of[v.rnd.IntN(len(of))] }

func (v *nonsense) integer(name string, bits int) int64 {
	switch {
	case strings.Contains(name, "MaxWait"):
		return pick(v, int64(-1), 0, 1, 20, math.MinInt32)
	case strings.Contains(name, "Timeout"):
		return pick(v, int64(-1), 0, 1, 20, 6000, 10_000, 60_000)
	case name == "NumPartitions", name == "Count":
		return pick(v, int64(-1), 0, 1, 2, 3, 5, math.MaxInt32, math.MinInt32)
	case name == "ReplicationFactor":
		return pick(v, int64(-1), 0, 1, 1, 1, 3, math.MaxInt16)
	case strings.Contains(name, "Acks"):
		return pick(v, int64(-1), -1, -1, 0, 1, 2, math.MinInt16)
	case strings.Contains(name, "Epoch"), strings.Contains(name, "Generation"):
		return pick(v, int64(-1), -1, 0, 0, 0, 1, 2, math.MaxInt16, math.MaxInt32, math.MinInt32)
	}
	bounds := pick(v, int64(-1), 0, 0, 0, 0, 1, 1, 2, 3, -2, -3, 7, 100, math.MaxInt8, math.MaxInt16, math.MaxInt32, math.MaxInt64, math.MinInt64, math.MinInt32, math.MaxInt64-1)
	if v.rnd.IntN(20) == 0 {
		bounds = int64(v.rnd.Uint64())
	}
	return bounds << (64 - bits) >> (64 - bits)
}

func (v *nonsense) text(name string) string {
	if v.rnd.IntN(30) == 0 {
		return pick(v, strings.Repeat("x", 249), strings.Repeat("y", 250), strings.Repeat("z", 32767), "\x00", "\xff\xfe", "..", ".", "a/b", "ü", "__consumer_offsets", "{\"a\":1}")
	}
	switch {
	case strings.Contains(name, "Protocol"):
		return pick(v, "consumer", "range", "", "connect", "uniform")
	case strings.Contains(name, "Assignor"):
		return pick(v, "uniform", "range", "", "none")
	case strings.Contains(name, "Transactional"):
		return pick(v, "x", "x", "y", "z", "")
	case strings.Contains(name, "Group"), strings.Contains(name, "CoordinatorKey"):
		return pick(v, "g", "g", "h", "i", "")
	case strings.Contains(name, "Member"):
		return pick(v, "m", "", "", "n")
	case name == "Key", name == "Name", strings.Contains(name, "Config"):
		return pick(v, "retention.ms", "cleanup.policy", "max.message.bytes", "wadi.archive.schema", "consumer.session.timeout.ms", "nonsense", "", "compression.type", "retention.bytes", "1", "t")
	case name == "Value":
		return pick(v, "", "-1", "0", "1", "compact", "compact,delete", "9223372036854775807", "9223372036854775808", "gzip", "true", "id int64")
	case strings.Contains(name, "Regex"):
		return pick(v, ".*", "t.*", "(", "", "(a*)*b", strings.Repeat("(", 2000))
	}
	return pick(v, "t", "t", "t", "u", "v", "w", "", "g", "1")
}

func (v *nonsense) records() []byte {
	h := batch.Header{LeaderEpoch: -1, ProducerID: pick(v, int64(-1), -1, 1, 2, 3, math.MaxInt64, -2), ProducerEpoch: pick(v, int16(-1), 0, 0, 1, math.MaxInt16, -2), BaseSequence: pick(v, int32(-1), 0, 0, 1, math.MaxInt32, -2)}
	rs := make([]batch.Record, 1+v.rnd.IntN(4))
	for i := range rs {
		rs[i] = batch.Record{Offset: int64(i), Timestamp: pick(v, time.Now().UnixMilli(), 0, -1, math.MaxInt64, math.MinInt64), Key: pick(v, []byte("k"), nil, []byte{}), Value: pick(v, []byte("v"), nil, bytes.Repeat([]byte("v"), 100))}
	}
	b := batch.Append(nil, h, rs)
	for range v.rnd.IntN(3) {
		if v.rnd.IntN(3) > 0 {
			b[v.rnd.IntN(len(b))] ^= 1 << v.rnd.IntN(8)
			continue
		}
		b[batch.CRCBegin+v.rnd.IntN(61-batch.CRCBegin)] ^= 1 << v.rnd.IntN(8) // the header's fields
		binary.BigEndian.PutUint32(b[batch.CRCBegin-4:], crc32.Checksum(b[batch.CRCBegin:], crc32.MakeTable(crc32.Castagnoli)))
	}
	switch v.rnd.IntN(12) {
	case 0:
		return b[:v.rnd.IntN(len(b))]
	case 1:
		return append(b, b...)
	case 2:
		return nil
	}
	return b
}

func (v *nonsense) fill(x reflect.Value, name string, depth int) {
	switch x.Kind() {
	case reflect.Bool:
		x.SetBool(v.rnd.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x.SetInt(v.integer(name, x.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		x.SetUint(v.rnd.Uint64() >> (64 - x.Type().Bits()))
	case reflect.Float64:
		x.SetFloat(pick(v, 0, 1, math.NaN(), math.Inf(1), -1))
	case reflect.String:
		x.SetString(v.text(name))
	case reflect.Pointer:
		if v.rnd.IntN(4) == 0 {
			x.SetZero()
			return
		}
		x.Set(reflect.New(x.Type().Elem()))
		v.fill(x.Elem(), name, depth)
	case reflect.Array:
		if len(v.topics) > 0 && v.rnd.IntN(4) > 0 {
			x.Set(reflect.ValueOf(pick(v, v.topics...)).Convert(x.Type()))
			return
		}
		for i := range x.Len() {
			x.Index(i).SetUint(uint64(v.rnd.IntN(2)))
		}
	case reflect.Slice:
		if x.Type().Elem().Kind() == reflect.Uint8 {
			if name == "Records" {
				x.SetBytes(v.records())
				return
			}
			b := make([]byte, v.rnd.IntN(60))
			for i := range b {
				b[i] = byte(pick(v, 0, 0, 0, 1, 2, 255, v.rnd.IntN(256)))
			}
			x.SetBytes(b)
			return
		}
		n := pick(v, 0, 1, 1, 1, 2, 3)
		if n == 0 && v.rnd.IntN(2) == 0 {
			x.SetZero()
			return
		}
		x.Set(reflect.MakeSlice(x.Type(), n, n))
		for i := range n {
			v.fill(x.Index(i), name, depth+1)
		}
	case reflect.Struct:
		if _, tags := x.Addr().Interface().(*kmsg.Tags); tags {
			return
		}
		for i := range x.NumField() {
			if f := x.Type().Field(i); f.IsExported() && (depth > 0 || f.Name != "Version") {
				v.fill(x.Field(i), f.Name, depth+1)
			}
		}
	}
}

// nonsenseClient sends nonsense on a connection of its own, and another where that was closed.
type nonsenseClient struct {
	t       *testing.T
	address string
	v       nonsense
	conn    net.Conn
	buf     []byte
	asked   int32
}

func (c *nonsenseClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// ask sends one request and returns its answer; nil: the connection was closed, or
// the request is one that may wait for others, and nobody waits for its answer.
func (c *nonsenseClient) ask(req kmsg.Request) kmsg.Response {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			c.t.Error(err)
			return nil
		}
		c.conn = conn
		c.conn.SetDeadline(time.Now().Add(time.Minute))
	}
	c.asked++
	name := kmsg.NameForKey(req.Key())
	_, err := c.conn.Write(frame(c.asked, req))
	if err == nil {
		switch r := req.(type) {
		case *kmsg.ProduceRequest:
			if r.Acks == 0 {
				return nil
			}
		case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest:
			c.close()
			return nil
		}
		_, err = io.ReadFull(c.conn, c.buf[:4])
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Errorf("%s %d: no answer within a minute", name, req.GetVersion())
		}
		c.close()
		return nil
	}
	answer := make([]byte, binary.BigEndian.Uint32(c.buf))
	if _, err := io.ReadFull(c.conn, answer); err != nil {
		c.t.Errorf("%s %d: an answer of %d bytes breaks off: %v", name, req.GetVersion(), len(answer), err)
		c.close()
		return nil
	}
	if got := int32(binary.BigEndian.Uint32(answer)); got != c.asked {
		c.t.Errorf("%s %d: correlation %d, not %d", name, req.GetVersion(), got, c.asked)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	body := answer[4:]
	if _, versions := resp.(*kmsg.ApiVersionsResponse); resp.IsFlexible() && !versions {
		body = body[1:] // the header's tags
	}
	if err := resp.ReadFrom(body); err != nil {
		c.t.Errorf("%s %d: an answer that doesn't decode: %v", name, req.GetVersion(), err)
		return nil
	}
	return resp
}

// TestHostile_Values: requests that decode well and mean nonsense get answers that decode,
// and the agent serves on.
func TestHostile_Values(t *testing.T) {
	address, log := onSocket(t)
	apis := alive(t, address).ApiKeys
	const clients, requests = 8, 1000
	var mu sync.Mutex
	var topics [][16]byte // that there are
	answered := map[int16]int{}
	var all sync.WaitGroup
	for seed := range uint64(clients) {
		all.Go(func() {
			c := &nonsenseClient{t: t, address: address, buf: make([]byte, 4)}
			c.v.rnd = rand.New(rand.NewPCG(seed, 3))
			defer c.close()
			for range requests {
				api := apis[c.v.rnd.IntN(len(apis))]
				req := kmsg.RequestForKey(api.ApiKey)
				mu.Lock()
				c.v.topics = topics
				mu.Unlock()
				c.v.fill(reflect.ValueOf(req).Elem(), "", 0)
				req.SetVersion(api.MinVersion + int16(c.v.rnd.IntN(int(api.MaxVersion-api.MinVersion)+1)))
				resp := c.ask(req)
				if resp == nil {
					continue
				}
				mu.Lock()
				answered[api.ApiKey]++
				if m, ok := resp.(*kmsg.MetadataResponse); ok {
					topics = nil
					for _, topic := range m.Topics {
						topics = append(topics, topic.TopicID)
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, api := range apis {
		if api.ApiKey != kmsg.JoinGroup.Int16() && api.ApiKey != kmsg.SyncGroup.Int16() && answered[api.ApiKey] == 0 {
			t.Errorf("no request of %s was answered", kmsg.NameForKey(api.ApiKey))
		}
	}
	alive(t, address)
	if text := log.String(); strings.Contains(text, "panic") {
		t.Errorf("a panic: %.3000s", text[max(0, strings.Index(text, "panic")-500):])
	}
}
