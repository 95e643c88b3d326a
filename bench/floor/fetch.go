package floor

import (
	"encoding/binary"
	"net"

	"github.com/wadi-io/wadi/wire/batch"
)

// records is a partition that is read over and over: batches of equal size, one after the other.
type records struct {
	bytes []byte
	batch int // bytes of each
	count int64
	of    int64 // records in each
}

func makeRecords(cfg Config) ([]records, error) {
	all := make([]records, cfg.Partitions)
	list := make([]batch.Record, cfg.BatchRecords)
	value := make([]byte, cfg.RecordBytes)
	for i := range value {
		value[i] = byte('a' + i%26)
	}
	for p := range all {
		r := &all[p]
		r.count, r.of = int64(cfg.Batches), int64(cfg.BatchRecords)
		for i := range cfg.Batches {
			base := int64(i * cfg.BatchRecords)
			for k := range list {
				list[k] = batch.Record{Offset: base + int64(k), Value: value}
			}
			r.bytes = batch.Append(r.bytes, batch.Header{BaseOffset: base, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, list)
		}
		r.batch = len(r.bytes) / cfg.Batches
	}
	return all, nil
}

// from is what is at an offset, up to a size, at least one batch.
func (r *records) from(offset int64, bytesMax int) []byte {
	i := offset / r.of % r.count
	n := min(r.count-i, max(1, int64(bytesMax/r.batch)))
	return r.bytes[i*int64(r.batch) : (i+n)*int64(r.batch)]
}

// answerFetch answers from memory: the partitions' heads from a scratch, their records by writev.
func (s *Server) answerFetch(conn net.Conn, correlation int32, r *cursor) error {
	r.skip(12) // replica, wait, least
	left := int(r.int32())
	r.skip(9) // isolation, session
	scratch := make([]byte, 4, 2<<10)
	scratch = binary.BigEndian.AppendUint32(scratch, uint32(correlation))
	scratch = append(scratch, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // tags, throttle, error, session
	topics := r.length()
	scratch = binary.AppendUvarint(scratch, uint64(topics)+1)
	var slices net.Buffers
	cut, size := 0, 0 // what of the scratch is in slices already, and all bytes
	for range topics {
		name := r.skip(r.length())
		scratch = binary.AppendUvarint(scratch, uint64(len(name))+1)
		scratch = append(scratch, name...)
		partitions := r.length()
		scratch = binary.AppendUvarint(scratch, uint64(partitions)+1)
		for range partitions {
			index := r.int32()
			r.skip(4)
			offset := r.int64()
			r.skip(12)
			most := int(r.int32())
			r.skip(1)
			if r.bad || index < 0 || int(index) >= len(s.read) {
				return errFrame
			}
			var data []byte
			if left > 0 {
				data = s.read[index].from(offset, min(most, left))
				left -= len(data)
			}
			scratch = binary.BigEndian.AppendUint32(scratch, uint32(index))
			scratch = append(scratch, 0, 0)
			scratch = binary.BigEndian.AppendUint64(scratch, 1<<40) // high watermark
			scratch = binary.BigEndian.AppendUint64(scratch, 1<<40)
			scratch = binary.BigEndian.AppendUint64(scratch, 0)
			scratch = append(scratch, 0)                              // none aborted
			scratch = binary.BigEndian.AppendUint32(scratch, 1<<32-1) // no other replica
			scratch = binary.AppendUvarint(scratch, uint64(len(data))+1)
			slices = append(slices, scratch[cut:len(scratch):len(scratch)], data)
			cut = len(scratch)
			size += len(data)
			scratch = append(scratch, 0)
		}
		scratch = append(scratch, 0)
		r.skip(1)
	}
	scratch = append(scratch, 0)
	slices = append(slices, scratch[cut:])
	// The slices of the scratch made before it grew are of its former memory: only the length is there to be set.
	binary.BigEndian.PutUint32(slices[0], uint32(len(scratch)+size-4))
	_, err := slices.WriteTo(conn)
	return err
}
