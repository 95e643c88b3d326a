package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
)

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
		case o.kind == kindOptional:
			b = append(b, 0xff) // null
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
