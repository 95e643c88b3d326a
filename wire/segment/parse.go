package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math"

	"github.com/wadi-io/wadi/wire/batch"
)

// Footer is what a segment says about itself and its runs.
type Footer struct {
	Info
	Size     int64 // bytes of the whole segment
	FooterAt int64 // position of the footer; the runs end there
	Runs     []Run // in the order of their positions
}

// Run is one partition's contiguous batches in a segment.
type Run struct {
	Shard     int
	Topic     [16]byte // id
	Partition int32
	Position  int64 // of its first byte in the segment
	Length    int64 // bytes
	CRC       uint32
	Batches   []int32 // the lengths in bytes of its batches, in order
}

// End returns the position after the run's last byte.
func (r *Run) End() int64 { return r.Position + r.Length }

// Each iterates over the positions and lengths of the run's batches.
func (r *Run) Each() iter.Seq2[int64, int32] {
	return func(yield func(int64, int32) bool) {
		at := r.Position
		for _, length := range r.Batches {
			if !yield(at, length) {
				return
			}
			at += int64(length)
		}
	}
}

// verify checks the run's bytes: their checksum, and that the batches are as
// long as the footer says.
func (r *Run) verify(b []byte) error {
	if crc := crc32.Checksum(b, castagnoli); crc != r.CRC {
		return fmt.Errorf("%w: the bytes of partition %d of topic %x have CRC-32C %08x, the footer says %08x", ErrCorrupt, r.Partition, r.Topic, crc, r.CRC)
	}
	for position, length := range r.Each() {
		h, err := batch.Parse(b[position-r.Position:])
		if err != nil {
			return fmt.Errorf("%w: the batch at %d: %w", ErrCorrupt, position, err)
		}
		if h.Size() != int(length) {
			return fmt.Errorf("%w: the batch at %d has %d bytes, the footer says %d", ErrCorrupt, position, h.Size(), length)
		}
	}
	return nil
}

// Segment is a whole segment in memory.
type Segment struct {
	Footer
	body []byte
}

// Parse decodes a whole segment, whose bytes it keeps. It checks the header and
// the footer; Verify checks the runs.
func Parse(b []byte) (*Segment, error) {
	id, err := parseHeader(b, kindIngest)
	if err != nil {
		return nil, err
	}
	footer, err := ReadFooter(b, int64(len(b)))
	if err != nil {
		return nil, err
	}
	if id != footer.ID {
		return nil, fmt.Errorf("%w: the header is of %v, the footer of %v", ErrCorrupt, id, footer.ID)
	}
	return &Segment{Footer: *footer, body: b}, nil
}

// Bytes returns a run's bytes.
func (s *Segment) Bytes(r *Run) []byte { return s.body[r.Position:r.End():r.End()] }

// Verify checks the bytes of every run.
func (s *Segment) Verify() error {
	for i := range s.Runs {
		if err := s.Runs[i].verify(s.Bytes(&s.Runs[i])); err != nil {
			return err
		}
	}
	return nil
}

// VerifyRange checks the runs that lie wholly in b, which are the segment's bytes
// from position on, and returns how many they are.
func (f *Footer) VerifyRange(position int64, b []byte) (runs int, err error) {
	end := position + int64(len(b))
	for i := range f.Runs {
		r := &f.Runs[i]
		if r.Position < position || r.End() > end {
			continue
		}
		if err := r.verify(b[r.Position-position : r.End()-position]); err != nil {
			return runs, err
		}
		runs++
	}
	return runs, nil
}

// ReadFooter decodes the footer from tail, the last bytes of a segment of size
// bytes. A *ShortTailError says how many it takes when tail is too short; TailHint
// is enough for most.
func ReadFooter(tail []byte, size int64) (*Footer, error) {
	b, err := readTail(tail, size, kindIngest)
	if err != nil {
		return nil, err
	}
	f := &Footer{Size: size, FooterAt: size - trailerSize - int64(len(b))}
	d := decoder{rest: b}
	d.footer(f)
	if d.fault != "" {
		return nil, fmt.Errorf("%w: the footer's %s", ErrCorrupt, d.fault)
	}
	return f, nil
}

// readTail returns the bytes of the footer, checked, from the last bytes of a segment.
func readTail(tail []byte, size int64, kind byte) ([]byte, error) {
	switch {
	case size < headerSize+trailerSize || size > SizeMax || int64(len(tail)) > size:
		return nil, fmt.Errorf("%w: a size of %d bytes", ErrCorrupt, size)
	case len(tail) < trailerSize:
		return nil, &ShortTailError{Need: min(TailHint, size)}
	}
	trailer := tail[len(tail)-trailerSize:]
	if string(trailer[12:]) != magicTail {
		return nil, fmt.Errorf("%w: it doesn't end as a segment", ErrCorrupt)
	}
	if err := checkVersion([4]byte(trailer[4:8]), kind); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(trailer))
	if length > size-headerSize-trailerSize {
		return nil, fmt.Errorf("%w: a footer of %d bytes", ErrCorrupt, length)
	}
	if need := length + trailerSize; need > int64(len(tail)) {
		return nil, &ShortTailError{Need: need}
	}
	footer := tail[int64(len(tail))-length-trailerSize:]
	if crc32.Checksum(footer[:length+8], castagnoli) != binary.BigEndian.Uint32(trailer[8:]) {
		return nil, fmt.Errorf("%w: the footer's checksum", ErrCorrupt)
	}
	return footer[:length], nil
}

// decoder reads a footer. After the first fault every read returns zero.
type decoder struct {
	rest  []byte
	fault string
}

func (d *decoder) fail(what string) {
	if d.fault == "" {
		d.fault = what
	}
	d.rest = nil
}

func (d *decoder) uvarint(what string) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail(what)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// upTo reads an unsigned varint of at most highest.
func (d *decoder) upTo(highest uint64, what string) uint64 {
	v := d.uvarint(what)
	if v > highest {
		d.fail(what)
		return 0
	}
	return v
}

func (d *decoder) fixed(n int, what string) []byte {
	if n > len(d.rest) {
		d.fail(what)
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int, what string) int {
	return int(d.upTo(uint64(len(d.rest)/size), what))
}

// The sizes of the smallest elements of the footer's lists, in bytes.
const (
	fateBytesMin  = 3
	runBytesMin   = 1 + 16 + 1 + 4 + 1 + 1
	batchBytesMin = 1
)

func (d *decoder) footer(f *Footer) {
	f.Cluster = string(d.fixed(int(d.upTo(ClusterBytesMax, "cluster id")), "cluster id"))
	f.ID = ID{Term: d.uvarint("term"), Number: d.uvarint("number")}
	f.Flush = d.uvarint("flush number")
	written, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("time")
		return
	}
	f.Written, d.rest = written, d.rest[n:]
	if n := d.count(fateBytesMin, "count of fates"); n > 0 {
		f.Fates = make([]Fate, n)
	}
	for i := range f.Fates {
		f.Fates[i] = Fate{
			Journal: uint32(d.upTo(math.MaxUint32, "fate's journal")),
			Number:  d.uvarint("fate's number"),
			Version: d.uvarint("fate's version"),
		}
	}
	if n := d.count(runBytesMin, "count of runs"); n > 0 {
		f.Runs = make([]Run, n)
	}
	// One allocation holds the lengths of all runs: each takes a byte of what is left at least.
	lengths := make([]int32, 0, len(d.rest)-len(f.Runs)*(runBytesMin-batchBytesMin))
	at := int64(headerSize)
	for i := range f.Runs {
		r := &f.Runs[i]
		lengths = d.run(r, lengths)
		if d.fault != "" {
			return
		}
		if i > 0 {
			previous := &f.Runs[i-1]
			r.Shard += previous.Shard
			if r.Shard > shardMax || r.Shard == previous.Shard && r.Topic == previous.Topic && r.Partition <= previous.Partition {
				d.fail("order of runs")
				return
			}
		}
		r.Position = at
		at += r.Length
		if at > f.FooterAt {
			d.fail("lengths of runs")
			return
		}
	}
	if len(d.rest) > 0 || at != f.FooterAt {
		d.fail("length")
	}
}

// run reads one run, but for its position, the shard as its distance from the
// previous run's, and the lengths of its batches at the end of lengths.
func (d *decoder) run(r *Run, lengths []int32) []int32 {
	r.Shard = int(d.upTo(shardMax, "shard"))
	copy(r.Topic[:], d.fixed(len(r.Topic), "topic id"))
	r.Partition = int32(d.upTo(math.MaxInt32, "partition"))
	if crc := d.fixed(4, "run's checksum"); crc != nil {
		r.CRC = binary.BigEndian.Uint32(crc)
	}
	begin := len(lengths)
	n := d.count(batchBytesMin, "count of batches")
	if n == 0 {
		d.fail("count of batches")
	}
	for range n {
		length := d.upTo(math.MaxInt32, "batch's length")
		if length < batch.HeaderSize {
			d.fail("batch's length")
			return lengths
		}
		lengths = append(lengths, int32(length))
		r.Length += int64(length)
	}
	r.Batches = lengths[begin:len(lengths):len(lengths)]
	return lengths
}
