package segment

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wadi-io/wadi/wire/batch"
)

const (
	// dumpDecompressedBytesMax bounds the records of one batch that Dump decompresses.
	dumpDecompressedBytesMax = 128 << 20
	// dumpValueBytesMax bounds what Dump shows of a key, a value or a header.
	dumpValueBytesMax = 64
)

// Dump writes what a segment of either kind holds in words, with its records if asked for. It
// shows all that can be read of a damaged one, and then returns the first damage.
func Dump(w io.Writer, b []byte, records bool) error {
	d := dumper{w: bufio.NewWriter(w), records: records}
	if m, err := ParseMerged(b); err == nil {
		d.merged(m)
	} else if len(b) > 4 && b[4] == kindMerged {
		d.damaged(err)
	} else if s, err := Parse(b); err == nil {
		d.segment(s)
	} else {
		d.damaged(err)
		d.remains(b)
	}
	return errors.Join(d.w.Flush(), d.damage)
}

type dumper struct {
	w       *bufio.Writer
	records bool
	damage  error // the first
}

func (d *dumper) printf(format string, args ...any) {
	fmt.Fprintf(d.w, format, args...) // an error stays in the bufio.Writer until Flush
}

func (d *dumper) damaged(err error) {
	if d.damage == nil {
		d.damage = err
	}
}

func (d *dumper) segment(s *Segment) {
	batches := 0
	for i := range s.Runs {
		batches += len(s.Runs[i].Batches)
	}
	d.printf("segment   %v\n", s.ID)
	d.printf("cluster   %s\n", s.Cluster)
	d.printf("flush     %d\n", s.Flush)
	d.printf("written   %s\n", showTime(s.Written))
	d.printf("size      %d bytes, the footer at %d\n", s.Size, s.FooterAt)
	d.printf("holds     %s, %s, %s\n", count(len(s.Runs), "run", "runs"), count(batches, "batch", "batches"), count(len(s.Fates), "fate", "fates"))
	for _, fate := range s.Fates {
		d.printf("fate      journal %#x: entry %d got version %d\n", fate.Journal, fate.Number, fate.Version)
	}
	for i := range s.Runs {
		d.run(s, &s.Runs[i])
	}
}

func (d *dumper) merged(s *MergedSegment) {
	d.printf("segment   %v\n", s.ID)
	d.printf("cluster   %s\n", s.Cluster)
	d.printf("shard     %d\n", s.Shard)
	d.printf("written   %s\n", showTime(s.Written))
	d.printf("size      %d bytes, the footer at %d\n", s.Size, s.FooterAt)
	d.printf("holds     %s\n", count(len(s.Extents), "extent", "extents"))
	for i := range s.Extents {
		e := &s.Extents[i]
		d.printf("extent    topic %s (%d), partition %d: offsets %d to %d, %d bytes at %d, %s\n",
			showTopic(e.Topic), e.Number, e.Partition, e.Base, e.End-1, e.Length, e.Position, count(int(e.Records), "record", "records"))
		if e.Index.Compacted {
			d.printf("  compacted by key\n")
		}
		for _, a := range e.Index.Aborted {
			d.printf("  aborted producer %d, offsets %d to %d\n", a.Producer, a.First, a.Last)
		}
		for k, b := range e.Index.Blocks {
			end := e.End
			if k+1 < len(e.Index.Blocks) {
				end = e.Index.Blocks[k+1].Base
			}
			data := s.Bytes(e)[b.Position : b.Position+b.Length]
			state := "intact"
			if err := b.Verify(data, end); err != nil {
				d.damaged(err)
				state = "DAMAGED"
			}
			d.printf("  block   offsets %d to %d: %d bytes at %d, until %s, CRC-32C %08x, %s\n",
				b.Base, end-1, b.Length, e.Position+b.Position, showTime(b.MaxTimestamp), b.CRC, state)
			for at := e.Position + b.Position; len(data) > 0; {
				h, one, rest, err := batch.Next(data)
				if err != nil {
					break // said by the block
				}
				d.printf("  offset  %d\n", h.BaseOffset)
				d.batch(at, one)
				at, data = at+int64(len(one)), rest
			}
		}
	}
}

// remains shows what a segment without its footer still tells: its id, and the
// batches from the first on, up to one that is damaged.
func (d *dumper) remains(b []byte) {
	id, err := parseHeader(b, kindIngest)
	if err != nil {
		return
	}
	d.printf("segment   %v\n", id)
	d.printf("size      %d bytes\n", len(b))
	d.printf("footer    DAMAGED: %v\n", d.damage)
	for at := headerSize; at < len(b); {
		h, data, _, err := batch.Next(b[at:])
		if err != nil {
			return
		}
		d.batch(int64(at), data)
		at += h.Size()
	}
}

func (d *dumper) run(s *Segment, r *Run) {
	state := "intact"
	err := r.verify(s.Bytes(r))
	if err != nil {
		d.damaged(err)
		state = "DAMAGED"
	}
	d.printf("run       shard %d, topic %s, partition %d: %d bytes at %d, CRC-32C %08x, %s\n",
		r.Shard, showTopic(r.Topic), r.Partition, r.Length, r.Position, r.CRC, state)
	for position, length := range r.Each() {
		d.batch(position, s.body[position:position+int64(length)])
	}
}

func (d *dumper) batch(position int64, b []byte) {
	h, err := batch.Parse(b)
	if err != nil {
		d.damaged(err)
		d.printf("  batch   %d bytes at %d: %v\n", len(b), position, err)
		return
	}
	d.printf("  batch   %d bytes at %d: %s, %v, %s", len(b), position, count(int(h.Records), "record", "records"), h.Codec(), showTime(h.FirstTimestamp))
	if h.MaxTimestamp != h.FirstTimestamp {
		d.printf(" to %s", showTime(h.MaxTimestamp))
	}
	if h.LogAppendTime() {
		d.printf(" (append time)")
	}
	if h.ProducerID >= 0 {
		d.printf(", producer %d epoch %d sequence %d to %d", h.ProducerID, h.ProducerEpoch, h.BaseSequence, h.LastSequence())
	}
	if h.Transactional() {
		d.printf(", transactional")
	}
	d.printf("\n")
	if _, err := batch.Verify(b); err != nil {
		d.damaged(err)
		d.printf("    damaged %v\n", err)
		return
	}
	if !d.records {
		return
	}
	for r, err := range batch.Records(b, dumpDecompressedBytesMax) {
		if err != nil {
			d.damaged(err)
			d.printf("    unreadable %v\n", err)
			return
		}
		d.printf("    +%d %s %s = %s", r.Offset-h.BaseOffset, showTime(r.Timestamp), showBytes(r.Key), showBytes(r.Value))
		for _, header := range r.Headers {
			d.printf(" %s: %s", showBytes(header.Key), showBytes(header.Value))
		}
		d.printf("\n")
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// showTime shows milliseconds as a time.
func showTime(ms int64) string {
	if ms == -1 {
		return "no time"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// showTopic shows a topic id as Kafka's tools do.
func showTopic(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func showBytes(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > dumpValueBytesMax:
		return fmt.Sprintf("%q… (%d bytes)", b[:dumpValueBytesMax], len(b))
	}
	return fmt.Sprintf("%q", b)
}
