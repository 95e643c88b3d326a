package wire

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// What a body may hold at most.
const (
	// BodyBytesCeiling bounds the body of a request other than Produce, in bytes.
	BodyBytesCeiling = 16 << 20
	// BodyElementsMax bounds the elements of all arrays of a body together. A
	// tagged field that its version doesn't know counts as 8 elements, because
	// it may cost its decoder a map.
	BodyElementsMax = 1 << 20
	// StringBytesMax bounds a string; Kafka's own bound, also of compact strings.
	StringBytesMax = math.MaxInt16

	unknownTagElements = 8
	// A body may have one of them for each 16 bytes, and 16 more: more than any
	// client sends, and few enough to bound the CPU a byte.
	unknownTagBytes, unknownTagsFree = 16, 16
	// elementBytesDecoded is what the decoder makes of an element at most, beyond
	// eight times the element's encoded size.
	elementBytesDecoded = 64
)

// Check walks the body of a request (what is behind the request header) and
// says whether decoding it is safe: every length is compared with the bytes that
// remain before anything is allocated, so no accepted body makes the decoder
// take more than 8 × its size + 64 MiB. Bytes behind the body are ignored, as Apache
// Kafka ignores them: librdkafka leaves three behind a Metadata request for all topics.
func Check(key, version int16, body []byte) error {
	p := programOf(key, version)
	if p == nil {
		return fmt.Errorf("request %d version %d: %w", key, version, errNoSchema)
	}
	_, err := p.check(body)
	return err
}

var (
	errNoSchema    = errors.New("no schema")
	errShort       = errors.New("ends early")
	errNull        = errors.New("null where the version has no null")
	errLength      = errors.New("length is impossible")
	errElements    = fmt.Errorf("more than %d elements", BodyElementsMax)
	errTags        = errors.New("tags don't rise")
	errUnknownTags = errors.New("too many that the version doesn't know")
	errTrailing    = errors.New("bytes behind its end")
	errBodySize    = errors.New("body is too large")
)

// program is a schema resolved for one version.
type program struct {
	name     string
	key      int16
	version  int16
	flexible bool
	body     node
}

// node is a struct: its fields in order, its tagged fields by number.
type node struct {
	ops    []op
	tagged bool // whether tagged fields follow
	tags   []op
	min    int // smallest encoded size, in bytes; at least 1
}

// op reads one field, or several of fixed size at once.
type op struct {
	name  string
	kind  kind
	null  bool
	width int   // in bytes, of what has a fixed size; else 0
	elem  *node // of an array or struct
	flat  int   // an element's width, where an array's elements all have it
}

// programs resolves all schemas once.
var programs = sync.OnceValue(func() map[int16][]*program {
	all := map[int16][]*program{}
	for _, s := range schemas() {
		list := make([]*program, s.max+1)
		for v := s.min; v <= s.max; v++ {
			flexible := v >= s.flexible
			list[v] = &program{
				name: s.name, key: s.key, version: v, flexible: flexible,
				body: resolve(s.in, s.tags, v, flexible),
			}
		}
		all[s.key] = list
	}
	return all
})

func programOf(key, version int16) *program {
	list := programs()[key]
	if version < 0 || int(version) >= len(list) {
		return nil
	}
	return list[version]
}

// resolve makes a node of the fields that version has.
func resolve(fields, tags []field, version int16, flexible bool) node {
	var n node
	for _, f := range fields {
		if version < f.since || f.until > 0 && version > f.until {
			continue
		}
		o, size := resolveField(f, version, flexible)
		n.min += size
		if last := len(n.ops) - 1; last >= 0 && o.width > 0 && n.ops[last].width > 0 {
			n.ops[last].width += o.width
			continue
		}
		n.ops = append(n.ops, o)
	}
	if flexible {
		n.tagged = true
		n.min++
		for _, f := range tags {
			o, _ := resolveField(f, version, flexible)
			n.tags = append(n.tags, o)
		}
	}
	return n
}

// resolveField returns a field's op and its smallest encoded size.
func resolveField(f field, version int16, flexible bool) (op, int) {
	o := op{name: f.name, kind: f.kind, width: f.kind.width()}
	o.null = f.null == fromZero || f.null != never && version >= int16(f.null)
	size := o.width
	switch f.kind {
	case kindString:
		size = 2
	case kindBytes, kindArray:
		size = 4
	}
	if flexible && o.width == 0 || f.kind == kindOptional {
		size = 1
	}
	switch {
	case f.of != 0:
		// A single value has no tagged fields of its own.
		single, min := resolveField(field{name: f.name, kind: f.of}, version, flexible)
		o.elem = &node{ops: []op{single}, min: min}
		o.flat = single.width
	case f.in != nil:
		n := resolve(f.in, f.tags, version, flexible)
		o.elem = &n
		if f.kind == kindStruct {
			size = n.min
		} else if !flexible && len(n.ops) == 1 {
			o.flat = n.ops[0].width
		}
	}
	return o, size
}

// cost is what the guard counted in a body.
type cost struct {
	behind   int // bytes behind the body
	elements int // of arrays
	unknown  int // tagged fields that the version doesn't know
	steps    int // of the walk; each eats at least one byte
}

// counted is what is held against BodyElementsMax.
func (c cost) counted() int { return c.elements + unknownTagElements*c.unknown }

// decodedBytes estimates what decoding takes at most.
func (c cost) decodedBytes(body int, key int16) int64 {
	if key == KeyProduce {
		body = 0 // its records aren't copied, its few strings are
	}
	return int64(c.counted())*elementBytesDecoded + 8*int64(body)
}

// check walks body.
func (p *program) check(body []byte) (cost, error) {
	if p.key != KeyProduce && len(body) > BodyBytesCeiling {
		return cost{}, fmt.Errorf("%s version %d: %d bytes: %w", p.name, p.version, len(body), errBodySize)
	}
	w := newWalker(body, p.flexible)
	at, err := w.node(&p.body)
	if err != nil {
		return w.cost, fmt.Errorf("%s version %d: %s: %w", p.name, p.version, at, err)
	}
	w.behind = len(w.b)
	return w.cost, nil
}

// walker walks b, which shrinks. Errors come with the name of the field.
type walker struct {
	b        []byte
	flexible bool
	cost
	unknownMax int
}

func newWalker(b []byte, flexible bool) walker {
	return walker{b: b, flexible: flexible, unknownMax: unknownTagsFree + len(b)/unknownTagBytes}
}

func (w *walker) node(n *node) (string, error) {
	for i := range n.ops {
		if at, err := w.op(&n.ops[i]); err != nil {
			return at, err
		}
	}
	if !n.tagged {
		return "", nil
	}
	return w.tagged(n.tags)
}

func (w *walker) op(o *op) (string, error) {
	w.steps++
	if o.width > 0 {
		if len(w.b) < o.width {
			return o.name, errShort
		}
		w.b = w.b[o.width:]
		return "", nil
	}
	switch o.kind {
	case kindStruct:
		return w.node(o.elem)
	case kindArray:
		return w.array(o)
	case kindOptional:
		return w.optional(o)
	}
	n, err := w.length(o)
	if err != nil || n < 0 {
		return o.name, err
	}
	if n > len(w.b) || o.kind == kindString && n > StringBytesMax {
		return o.name, errLength
	}
	w.b = w.b[n:]
	return "", nil
}

func (w *walker) optional(o *op) (string, error) {
	if len(w.b) == 0 {
		return o.name, errShort
	}
	present := int8(w.b[0])
	w.b = w.b[1:]
	switch present {
	case -1:
		return "", nil
	case 1:
		return w.node(o.elem)
	}
	return o.name, errLength
}

func (w *walker) array(o *op) (string, error) {
	n, err := w.length(o)
	if err != nil || n <= 0 {
		return o.name, err
	}
	if n > len(w.b)/o.elem.min {
		return o.name, errLength
	}
	if w.elements += n; w.counted() > BodyElementsMax {
		return o.name, errElements
	}
	if o.flat > 0 {
		w.b = w.b[n*o.flat:]
		return "", nil
	}
	for range n {
		if at, err := w.node(o.elem); err != nil {
			return at, err
		}
	}
	return "", nil
}

// length reads the length of a string, bytes or array; -1 is null.
func (w *walker) length(o *op) (int, error) {
	var n int
	switch {
	case w.flexible:
		u, err := w.uvarint()
		if err != nil {
			return 0, err
		}
		n = int(u) - 1
	case o.kind == kindString:
		if len(w.b) < 2 {
			return 0, errShort
		}
		n = int(int16(uint16(w.b[0])<<8 | uint16(w.b[1])))
		w.b = w.b[2:]
	default:
		if len(w.b) < 4 {
			return 0, errShort
		}
		n = int(int32(uint32(w.b[0])<<24 | uint32(w.b[1])<<16 | uint32(w.b[2])<<8 | uint32(w.b[3])))
		w.b = w.b[4:]
	}
	if n < -1 {
		return 0, errLength
	}
	if n == -1 && !o.null {
		return 0, errNull
	}
	return n, nil
}

func (w *walker) uvarint() (uint32, error) {
	var u uint32
	for i, c := range w.b {
		if i == 4 && c > 0x0f {
			return 0, errLength
		}
		u |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			w.b = w.b[i+1:]
			return u, nil
		}
		if i == 4 {
			return 0, errLength
		}
	}
	return 0, errShort
}

// tagged walks the tagged fields behind a struct (KIP-482).
func (w *walker) tagged(known []op) (string, error) {
	const at = "tagged fields"
	w.steps++
	count, err := w.uvarint()
	if err != nil {
		return at, err
	}
	if uint64(count) > uint64(len(w.b))/2 {
		return at, errLength
	}
	last := int64(-1)
	for range count {
		w.steps++
		tag, err := w.uvarint()
		if err != nil {
			return at, err
		}
		size, err := w.uvarint()
		if err != nil {
			return at, err
		}
		if uint64(size) > uint64(len(w.b)) {
			return at, errLength
		}
		if int64(tag) <= last {
			return at, errTags
		}
		last = int64(tag)
		rest := w.b[size:]
		if int64(tag) >= int64(len(known)) {
			if w.unknown++; w.unknown > w.unknownMax || w.counted() > BodyElementsMax {
				return at, errUnknownTags
			}
			w.b = rest
			continue
		}
		w.b = w.b[:size]
		if at, err := w.op(&known[tag]); err != nil {
			return at, err
		}
		if len(w.b) > 0 {
			return known[tag].name, errTrailing
		}
		w.b = rest
	}
	return "", nil
}
