package fetch

import "encoding/binary"

// The versions of the Fetch response where its form changes.
const (
	versionSession   = 7  // error and session id of the whole
	versionLogStart  = 5  // log start offset
	versionPreferred = 11 // preferred read replica
	versionFlexible  = 12 // compact lengths and tagged fields, diverging epoch
	versionTopicIDs  = 13 // topics by id
)

// The largest encodings of the parts around records and names, bytes.
const (
	answerBytesMax    = 4 + 2 + 4 + 5 + 1
	topicBytesMax     = 16 + 5 + 5 + 1
	partitionBytesMax = 4 + 2 + 8 + 8 + 8 + 4 + 4 + 5 + 1 + divergingBytes
	divergingBytes    = 2 + 4 + 8 + 1
	abortedBytesMax   = 8 + 8 + 1
)

// Encode returns the body of a Fetch response, versions 4 to 18, as slices to be
// written one after the other: what is between the records is encoded here, the
// records are the cache's own bytes. The slices live until Release. code gives
// Kafka's code of an error, 0 for nil.
//
// https://kafka.apache.org/protocol#The_Messages_Fetch
func (r *Response) Encode(version int16, code func(error) int16) [][]byte {
	w := writer{flexible: version >= versionFlexible}
	size := answerBytesMax
	for i := range r.Partitions {
		size += topicBytesMax + partitionBytesMax + len(r.Partitions[i].Topic.Name) + abortedBytesMax*len(r.Partitions[i].Aborted)
	}
	if cap(r.frame) < size {
		r.frame = make([]byte, 0, size)
	}
	w.b = r.frame[:0]
	out := r.out[:0]

	w.int32(0) // throttle time
	if version >= versionSession {
		w.int16(code(r.Err))
		w.int32(r.SessionID)
	}
	w.array(r.topics())
	from := 0 // of the bytes that are not in out yet
	for i := 0; i < len(r.Partitions); {
		n := r.run(i)
		if version >= versionTopicIDs {
			w.b = append(w.b, r.Partitions[i].Topic.ID[:]...)
		} else {
			w.string(r.Partitions[i].Topic.Name)
		}
		w.array(n)
		for range n {
			p := &r.Partitions[i]
			w.partition(version, p, code(p.Err))
			if p.Bytes > 0 {
				out = append(out, w.b[from:])
				out = append(out, r.pieces[p.firstPiece:p.firstPiece+p.pieces]...)
				from = len(w.b)
			}
			w.partitionTags(p)
			i++
		}
		w.tags(0)
	}
	w.tags(0)
	r.out = append(out, w.b[from:])
	return r.out
}

// topics counts the runs of partitions of one topic. In a session's order a topic
// may come more than once, as in Apache Kafka.
func (r *Response) topics() int {
	n := 0
	for i := 0; i < len(r.Partitions); i += r.run(i) {
		n++
	}
	return n
}

// run counts the partitions from the i-th on that have its topic.
func (r *Response) run(i int) int {
	n := 1
	for i+n < len(r.Partitions) && r.Partitions[i+n].Topic == r.Partitions[i].Topic {
		n++
	}
	return n
}

// writer appends the protocol's primitive types. Its bytes were allocated at once.
type writer struct {
	b        []byte
	flexible bool
}

func (w *writer) int16(v int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int32(v int32) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *writer) int64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }

// array writes the length of an array.
func (w *writer) array(n int) {
	if w.flexible {
		w.b = binary.AppendUvarint(w.b, uint64(n)+1)
		return
	}
	w.int32(int32(n))
}

// null writes the array that isn't there.
func (w *writer) null() {
	if w.flexible {
		w.b = append(w.b, 0)
		return
	}
	w.int32(-1)
}

func (w *writer) string(s string) {
	if w.flexible {
		w.b = binary.AppendUvarint(w.b, uint64(len(s))+1)
	} else {
		w.int16(int16(len(s)))
	}
	w.b = append(w.b, s...)
}

// tags opens n tagged fields.
func (w *writer) tags(n int) {
	if w.flexible {
		w.b = append(w.b, byte(n))
	}
}

// partition writes a partition up to the length of its records.
func (w *writer) partition(version int16, p *Partition, code int16) {
	w.int32(p.Partition)
	w.int16(code)
	w.int64(p.HighWatermark)
	w.int64(p.LastStable)
	if version >= versionLogStart {
		w.int64(p.LogStart)
	}
	// Null where the reader did not ask, as in Apache Kafka.
	if p.ReadCommitted || p.Err != nil {
		w.array(len(p.Aborted))
		for _, a := range p.Aborted {
			w.int64(a.ProducerID)
			w.int64(a.FirstOffset)
			w.tags(0)
		}
	} else {
		w.null()
	}
	if version >= versionPreferred {
		if p.Preferred != 0 {
			w.int32(p.Preferred)
		} else {
			w.int32(-1)
		}
	}
	w.array(p.Bytes) // bytes have the same lengths as arrays
}

func (w *writer) partitionTags(p *Partition) {
	if !w.flexible || !p.Diverging {
		w.tags(0)
		return
	}
	w.tags(1)
	w.b = append(w.b, 0, divergingBytes-2) // tag 0, its size
	w.int32(0)                             // the only leader epoch there is
	w.int64(p.DivergingEnd)
	w.tags(0)
}
