package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyVersion calls f for each version of each schema.
func everyVersion(f func(p *program)) {
	for _, s := range schemas() {
		for v := s.min; v <= s.max; v++ {
			f(programOf(s.key, v))
		}
	}
}

// randomRequest fills a request with anything that its version can carry.
func randomRequest(rnd *rand.Rand, p *program) kmsg.Request {
	m := kmsg.RequestForKey(p.key)
	fill(rnd, reflect.ValueOf(m).Elem())
	m.SetVersion(p.version)
	return m
}

func fill(rnd *rand.Rand, v reflect.Value) {
	if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
		for range rnd.IntN(8) - 5 {
			tags.Set(100+rnd.Uint32N(1000), make([]byte, rnd.IntN(200)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rnd.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rnd.Uint64()))
	case reflect.Uint8:
		v.SetUint(uint64(rnd.IntN(256)))
	case reflect.String:
		v.SetString(strings.Repeat("x", rnd.IntN(300)))
	case reflect.Pointer:
		v.SetZero()
		if rnd.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rnd, v.Elem())
		}
	case reflect.Slice:
		v.SetZero()
		if n := rnd.IntN(6) - 1; n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(rnd, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i))
		}
	default:
		panic(v.Kind())
	}
}

func TestSchemas_CoverTheirRequests(t *testing.T) {
	want := map[string][2]int16{
		"ApiVersions": {0, 4}, "Metadata": {0, 13}, "Produce": {0, 13}, "Fetch": {4, 18},
		"ListOffsets": {1, 11}, "InitProducerId": {0, 5}, "OffsetForLeaderEpoch": {2, 4},
		"CreateTopics": {2, 7}, "DeleteTopics": {1, 6}, "DescribeConfigs": {1, 4},
		"DescribeCluster": {0, 2}, "FindCoordinator": {0, 6},
	}
	for _, s := range schemas() {
		m := kmsg.RequestForKey(s.key)
		if !strings.EqualFold(kmsg.NameForKey(s.key), s.name) {
			t.Errorf("%d is %s, not %s", s.key, kmsg.NameForKey(s.key), s.name)
		}
		if m.MaxVersion() < s.max {
			t.Errorf("%s: decodable up to version %d", s.name, m.MaxVersion())
		}
		if got, ok := want[s.name]; ok && got != [2]int16{s.min, s.max} {
			t.Errorf("%s has versions %d to %d, want %v", s.name, s.min, s.max, got)
		}
		delete(want, s.name)
		for v := s.min; v <= s.max; v++ {
			m.SetVersion(v)
			if m.IsFlexible() != (v >= s.flexible) {
				t.Errorf("%s version %d: flexible is %v", s.name, v, m.IsFlexible())
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no schema for %v", want)
	}
	everyVersion(func(p *program) { checkElements(t, p, &p.body) })
}

// checkElements checks what the walk rests on: an element has at least one byte.
func checkElements(t *testing.T, p *program, n *node) {
	for _, ops := range [][]op{n.ops, n.tags} {
		for _, o := range ops {
			if o.elem == nil {
				continue
			}
			if o.elem.min < 1 {
				t.Errorf("%s version %d: %s: an empty element", p.name, p.version, o.name)
			}
			checkElements(t, p, o.elem)
		}
	}
}

func TestCheck_ConsumesExactlyWhatWasEncoded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	everyVersion(func(p *program) {
		for range 60 {
			body := randomRequest(rnd, p).AppendTo(nil)
			counted, err := p.check(body)
			if err != nil {
				t.Fatalf("%v\n%x", err, body)
			}
			if counted.steps > len(body) {
				t.Fatalf("%s version %d: %d steps for %d bytes", p.name, p.version, counted.steps, len(body))
			}
			if err := Check(p.key, p.version, append(body, 0)); !errors.Is(err, errTrailing) {
				t.Fatalf("%s version %d with a byte more: %v", p.name, p.version, err)
			}
			for cut := 0; cut < len(body); cut += 1 + rnd.IntN(1+len(body)/16) {
				if err := Check(p.key, p.version, body[:cut]); err == nil {
					t.Fatalf("%s version %d: %d of %d bytes were accepted", p.name, p.version, cut, len(body))
				}
			}
		}
	})
}

func TestCheck_AcceptsOnlyWhatDecodes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	everyVersion(func(p *program) {
		for range 60 {
			body := randomRequest(rnd, p).AppendTo(nil)
			if len(body) == 0 {
				continue
			}
			for range 20 {
				mutant := append([]byte(nil), body...)
				mutant[rnd.IntN(len(mutant))] = byte(rnd.Uint32() >> rnd.IntN(32))
				if _, err := p.check(mutant); err != nil {
					continue
				}
				accepted++
				m := kmsg.RequestForKey(p.key)
				m.SetVersion(p.version)
				if err := m.ReadFrom(mutant); err != nil {
					t.Fatalf("%s version %d: accepted, but: %v\n%x", p.name, p.version, err, mutant)
				}
			}
		}
	})
	if accepted < 1000 {
		t.Fatalf("only %d mutants were accepted: the test shows nothing", accepted)
	}
}

func TestCheck_Refuses(t *testing.T) {
	many := func(n int, element string) string { return strings.Repeat(element, n) }
	for _, x := range []struct {
		name         string
		key, version int16
		body         string
		want         error
	}{
		{"a key without a schema", 99, 0, "", errNoSchema},
		{"a version without a schema", 3, 14, "", errNoSchema},
		{"a negative version", 3, -1, "", errNoSchema},
		{"an array of 2^31-1", 3, 1, "\x7f\xff\xff\xff", errLength},
		{"an array of -2", 3, 1, "\xff\xff\xff\xfe", errLength},
		{"a null array before nulls", 3, 0, "\xff\xff\xff\xff", errNull},
		{"a compact array of 2^32-1", 3, 9, "\xff\xff\xff\xff\x0f\x00\x00\x00", errLength},
		{"a varint of six bytes", 3, 9, "\xff\xff\xff\xff\xff\x01\x00\x00\x00", errLength},
		{"a varint that doesn't end", 3, 9, "\xff\xff", errShort},
		{"a string longer than the rest", 18, 3, "\x20ab\x00", errLength},
		{"a string of 32768", 18, 3, "\x81\x80\x02" + many(1<<15, "x") + "\x01\x00", errLength},
		{"2^27 tagged fields", 18, 3, "\x01\x01\xff\xff\xff\x3f", errLength},
		{"a tagged field longer than the rest", 18, 3, "\x01\x01\x01\x00\x7f", errLength},
		{"tagged fields that don't rise", 18, 3, "\x01\x01\x02\x01\x00\x01\x00", errTags},
		{"a known tagged field with more in it", 1, 12, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01\x01\x00\x02\x00\x00", errTrailing},
		{"2^20 and one elements", 3, 9, "\x82\x80\x40" + many(1<<20+1, "\x01\x00") + "\x00\x00\x00\x00", errElements},
		{"too many unknown tagged fields", 3, 9, "\x33" + many(50, "\x01\x01\x00\x00") + "\x00\x00\x00\x00", errUnknownTags},
		{"a body over 16 MiB", 3, 9, many(BodyBytesCeiling+1, "\x00"), errBodySize},
	} {
		if err := Check(x.key, x.version, []byte(x.body)); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", x.name, err, x.want)
		}
	}
}

// worst encodes a body whose array at path target has n of the elements that cost
// their decoder most for their size: their own arrays have one element, their
// strings are empty but not null, and if tagged they have an unknown tagged field.
type worst struct {
	flexible, tagged bool
	target           string
	n                int
}

func (w worst) length(k kind, n int) []byte {
	switch {
	case w.flexible:
		return binary.AppendUvarint(nil, uint64(n+1))
	case k == kindString:
		return binary.BigEndian.AppendUint16(nil, uint16(n))
	}
	return binary.BigEndian.AppendUint32(nil, uint32(n))
}

func (w worst) node(n *node, path string, inside bool) (b []byte) {
	for i := range n.ops {
		o := &n.ops[i]
		at := path + "/" + o.name
		switch {
		case o.width > 0:
			b = append(b, make([]byte, o.width)...)
		case o.kind == kindArray && at == w.target:
			b = append(b, w.length(o.kind, w.n)...)
			b = append(b, bytes.Repeat(w.node(o.elem, at, true), w.n)...)
		case o.kind == kindArray && (inside || strings.HasPrefix(w.target, at+"/")):
			b = append(b, w.length(o.kind, 1)...)
			b = append(b, w.node(o.elem, at, inside)...)
		default:
			b = append(b, w.length(o.kind, 0)...)
		}
	}
	switch {
	case n.tagged && inside && w.tagged:
		b = append(b, 1, 99, 14)
		b = append(b, make([]byte, 14)...)
	case n.tagged:
		b = append(b, 0)
	}
	return b
}

// largest returns the longest such body that the guard accepts.
func (w worst) largest(p *program) []byte {
	measure := func(n int) (counted, size int) {
		w.n = n
		body := w.node(&p.body, "", false)
		c, _ := p.check(body)
		return c.counted(), len(body)
	}
	countedOne, sizeOne := measure(1)
	countedTwo, sizeTwo := measure(2)
	w.n = min(BodyElementsMax/(countedTwo-countedOne), (BodyBytesCeiling-64)/(sizeTwo-sizeOne))
	for {
		body := w.node(&p.body, "", false)
		if _, err := p.check(body); err == nil {
			return body
		}
		w.n -= 1 + w.n/1000
	}
}

func arrays(n *node, path string) (paths []string) {
	for i := range n.ops {
		if o := &n.ops[i]; o.kind == kindArray {
			paths = append(append(paths, path+"/"+o.name), arrays(o.elem, path+"/"+o.name)...)
		}
	}
	return paths
}

// TestCheck_BoundsWhatDecodingTakes makes, for every array of every request, the
// largest body that the guard accepts, and decodes it.
func TestCheck_BoundsWhatDecodingTakes(t *testing.T) {
	everyVersion(func(p *program) {
		if next := programOf(p.key, p.version+1); next != nil && next.flexible == p.flexible {
			return // of each form, the last version has the most fields
		}
		for _, target := range arrays(&p.body, "") {
			for _, tagged := range []bool{false, true} {
				if tagged && !p.flexible {
					continue
				}
				body := worst{flexible: p.flexible, tagged: tagged, target: target}.largest(p)
				got, most := decodedBytes(t, p, body), uint64(8*len(body)+64<<20)
				t.Logf("%s version %d %s, tagged %v: %.1f MiB for a body of %.1f", p.name, p.version, target, tagged,
					float64(got)/(1<<20), float64(len(body))/(1<<20))
				if got > most {
					t.Errorf("more than %d", most)
				}
			}
		}
	})
}

// decodedBytes is all that is allocated while body is checked and decoded.
func decodedBytes(t *testing.T, p *program, body []byte) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := &Request{Key: p.key, Version: p.version, body: body}
	counted, err := p.check(body)
	if err == nil {
		err = r.decode(p, counted)
	}
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	got := after.TotalAlloc - before.TotalAlloc
	if estimate := counted.decodedBytes(len(body), p.key); got > uint64(estimate)+64<<10 {
		t.Errorf("%s version %d: %d bytes, estimated at %d", p.name, p.version, got, estimate)
	}
	runtime.KeepAlive(r)
	return got
}

// TestCheck_StepsAreBounded: the walk's work is bounded by the body's bytes,
// since each step eats at least one of them; an element's fields are counted too.
func TestCheck_StepsAreBounded(t *testing.T) {
	everyVersion(func(p *program) {
		for _, target := range arrays(&p.body, "") {
			body := worst{flexible: p.flexible, target: target, n: 1 << 15}.node(&p.body, "", false)
			counted, err := p.check(body)
			if err != nil {
				t.Fatal(err)
			}
			if counted.steps > len(body) {
				t.Errorf("%s version %d %s: %d steps for %d bytes", p.name, p.version, target, counted.steps, len(body))
			}
		}
	})
}

func FuzzGuard(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	everyVersion(func(p *program) { f.Add(p.key, p.version, randomRequest(rnd, p).AppendTo(nil)) })
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		p := programOf(key, version)
		if p == nil {
			if Check(key, version, body) == nil {
				t.Fatal("accepted without a schema")
			}
			return
		}
		counted, err := p.check(body)
		if counted.steps > len(body)+1 {
			t.Fatalf("%d steps for %d bytes", counted.steps, len(body))
		}
		if err != nil {
			return
		}
		m := kmsg.RequestForKey(key)
		m.SetVersion(version)
		if err := m.ReadFrom(body); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		// What was understood is what is encoded again.
		again := m.AppendTo(nil)
		if _, err := p.check(again); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if key == KeyProduce {
			compareProduce(t, version, body)
		}
	})
}

// BenchmarkCheckAndDecode shows the CPU a byte of the bodies that cost most: at most 50 ns.
func BenchmarkCheckAndDecode(b *testing.B) {
	for _, x := range []struct {
		name         string
		key, version int16
		worst        worst
	}{
		{"metadata of one-letter topics", 3, 9, worst{flexible: true, target: "/topics"}},
		{"metadata with unknown tags", 3, 13, worst{flexible: true, tagged: true, target: "/topics"}},
		{"configs", 19, 7, worst{flexible: true, target: "/topics/configs"}},
		{"configs with unknown tags", 19, 7, worst{flexible: true, tagged: true, target: "/topics/configs"}},
		{"resources with unknown tags", 32, 4, worst{flexible: true, tagged: true, target: "/resources"}},
		{"fetch topics", 1, 12, worst{flexible: true, target: "/topics"}},
		{"produce topics", 0, 9, worst{flexible: true, target: "/topics"}},
	} {
		b.Run(x.name, func(b *testing.B) {
			p := programOf(x.key, x.version)
			body := x.worst.largest(p)
			for b.Loop() {
				r := &Request{Key: p.key, Version: p.version, body: body}
				counted, err := p.check(body)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.decode(p, counted); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(body)), "ns/byte")
		})
	}
}
