package wire

import (
	"errors"
	"math/rand/v2"
	"reflect"
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
		"OffsetCommit": {2, 10}, "OffsetFetch": {1, 10}, "JoinGroup": {0, 9}, "SyncGroup": {0, 5}, "Heartbeat": {0, 4},
		"LeaveGroup": {0, 5}, "DescribeGroups": {0, 6}, "ListGroups": {0, 5}, "DeleteGroups": {0, 2}, "OffsetDelete": {0, 0},
		"AlterConfigs": {0, 2}, "IncrementalAlterConfigs": {0, 1}, "ListConfigResources": {0, 1},
		"CreatePartitions": {0, 3}, "DescribeProducers": {0, 0}, "DescribeLogDirs": {1, 4},
		"DescribeTopicPartitions": {0, 0}, "ElectLeaders": {0, 2}, "DeleteRecords": {0, 2},
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
			if more, err := p.check(append(body, 0)); err != nil || counted.behind != 0 || more.behind != 1 {
				t.Fatalf("%s version %d: %d bytes left, %d of one more: %v", p.name, p.version, counted.behind, more.behind, err)
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
		{"an optional struct that ends early", 75, 0, "\x01\x00\x00\x00\x00", errShort},
		{"an optional struct that is neither there nor null", 75, 0, "\x01\x00\x00\x00\x00\x02\x00", errLength},
		{"2^20 and one elements", 3, 9, "\x82\x80\x40" + many(1<<20+1, "\x01\x00") + "\x00\x00\x00\x00", errElements},
		{"too many unknown tagged fields", 3, 9, "\x33" + many(50, "\x01\x01\x00\x00") + "\x00\x00\x00\x00", errUnknownTags},
		{"a body over 16 MiB", 3, 9, many(BodyBytesCeiling+1, "\x00"), errBodySize},
	} {
		if err := Check(x.key, x.version, []byte(x.body)); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", x.name, err, x.want)
		}
	}
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
