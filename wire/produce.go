package wire

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceMessage is a decoded Produce request whose slices are reused. kmsg's
// own decoder makes a slice for every topic and a string for its name; this one
// makes one string for all names, and none where they are those of the request before.
// Unknown tagged fields are left out.
type produceMessage struct {
	request    kmsg.ProduceRequest
	partitions []kmsg.ProduceRequestTopicPartition // of all topics
	names      string                              // of the last request's topics, one behind the other
}

// Bounds of what is kept for reuse.
const (
	produceElementsKept  = 16 << 10
	produceNameBytesKept = 16 << 10
)

var produceMessages = sync.Pool{New: func() any { return new(produceMessage) }}

func getProduceMessage() *produceMessage { return produceMessages.Get().(*produceMessage) }

// release gives the message up for reuse. Nothing in it may be used any more.
func (m *produceMessage) release() {
	if cap(m.partitions) > produceElementsKept || cap(m.request.Topics) > produceElementsKept {
		return
	}
	if len(m.names) > produceNameBytesKept {
		m.names = ""
	}
	// What is kept holds no reference to the frame, so that only its pool does.
	clear(m.partitions)
	clear(m.request.Topics)
	m.request.TransactionID = nil
	produceMessages.Put(m)
}

// decode reads a body that the guard has accepted and found to have elements
// topics and partitions.
func (m *produceMessage) decode(version int16, body []byte, elements int) {
	d := decoder{b: body, flexible: version >= 9}
	r := &m.request
	topics := r.Topics[:0]
	*r = kmsg.ProduceRequest{Version: version}
	if version >= 3 {
		if b := d.nullable(kindString); b != nil {
			id := string(b)
			r.TransactionID = &id
		}
	}
	r.Acks = int16(d.int(2))
	r.TimeoutMillis = int32(d.int(4))

	names := nameList{before: m.names}
	count := d.arrayLen()
	if cap(topics) < count {
		topics = make([]kmsg.ProduceRequestTopic, 0, count)
	}
	m.partitions = m.partitions[:0]
	if n := elements - count; cap(m.partitions) < n {
		m.partitions = make([]kmsg.ProduceRequestTopicPartition, 0, n)
	}
	for range count {
		var topic kmsg.ProduceRequestTopic
		if version <= 12 {
			topic.Topic = names.add(d.nullable(kindString))
		} else {
			copy(topic.TopicID[:], d.take(16))
		}
		first := len(m.partitions)
		for range d.arrayLen() {
			m.partitions = append(m.partitions, kmsg.ProduceRequestTopicPartition{
				Partition: int32(d.int(4)),
				Records:   d.nullable(kindBytes),
			})
			d.skipTags()
		}
		d.skipTags()
		topic.Partitions = m.partitions[first:len(m.partitions):len(m.partitions)]
		topics = append(topics, topic)
	}
	r.Topics = topics
	m.names = names.all()
}

// nameList makes strings of names, one behind the other: parts of before as long as they are the same.
type nameList struct {
	before string
	at     int // of before, what was the same
	made   strings.Builder
}

func (l *nameList) add(name []byte) string {
	if l.made.Cap() == 0 {
		if end := l.at + len(name); end <= len(l.before) && l.before[l.at:end] == string(name) {
			l.at = end
			return l.before[end-len(name) : end]
		}
		l.made.Grow(max(l.at+len(name), len(l.before), 1))
		l.made.WriteString(l.before[:l.at])
	}
	l.made.Write(name)
	return l.made.String()[l.made.Len()-len(name):]
}

func (l *nameList) all() string {
	if l.made.Cap() == 0 {
		return l.before
	}
	return l.made.String()
}

// decoder reads what the guard has walked: it can't run short.
type decoder struct {
	b        []byte
	flexible bool
}

func (d *decoder) take(n int) []byte {
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// int reads a big-endian integer of 2 or 4 bytes.
func (d *decoder) int(width int) int {
	b := d.take(width)
	if width == 2 {
		return int(int16(binary.BigEndian.Uint16(b)))
	}
	return int(int32(binary.BigEndian.Uint32(b)))
}

func (d *decoder) uvarint() int {
	u, n := binary.Uvarint(d.b)
	d.b = d.b[n:]
	return int(u)
}

// nullable reads a string or bytes; nil is null.
func (d *decoder) nullable(k kind) []byte {
	var n int
	switch {
	case d.flexible:
		n = d.uvarint() - 1
	case k == kindString:
		n = d.int(2)
	default:
		n = d.int(4)
	}
	if n < 0 {
		return nil
	}
	return d.take(n)
}

func (d *decoder) arrayLen() int {
	if d.flexible {
		return d.uvarint() - 1
	}
	return d.int(4)
}

func (d *decoder) skipTags() {
	if !d.flexible {
		return
	}
	for range d.uvarint() {
		d.uvarint()
		d.take(d.uvarint())
	}
}
