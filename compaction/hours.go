package compaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// archiveSpace is what archive jobs decode and encode in.
type archiveSpace struct {
	reader  batch.Reader
	encoder archive.Encoder
	rows    []archive.Row // of the hour that was gathered first
}

// hours makes a work's objects: records are decoded, some at a time, and encoded while their bytes are at
// hand, those of aborted transactions and markers left out.
type hours struct {
	space  *archiveSpace
	typing *archive.Typing // nil: no typed columns
	begin  func(dead bool) (*archive.Object, error)
	of     map[archive.Hour]*hourly
	// What is decoded and not encoded yet.
	rows, bytes int
}

// hourly is what an archive job has of one hour: an object each.
type hourly struct {
	typed, dead portion
}

// portion is an object and its rows that are not in it yet.
type portion struct {
	object *archive.Object // nil: without a row so far
	table  archive.Table
}

// make goes over the work's batches until they are enough; to is the offset after the last one. An error
// that isn't errDamaged says that there are no objects just now.
func (g *hours) make(ctx context.Context, w *work) (to int64, err error) {
	g.of = map[archive.Hour]*hourly{}
	size, rowBytes, held := 0, 0, 0 // bytes: of all rows, beside each, of those that the reader has memory for
	if g.typing != nil {
		rowBytes = g.typing.RowBytes()
	}
	reader := &g.space.reader
	defer reader.Reset()
	// The hour that is gathered, so that the map isn't asked for each record.
	var at *hourly
	var gathered archive.Hour
	first := archive.Table{Rows: g.space.rows[:0]}
	for _, b := range w.batches {
		// A batch may have been merged already or not: its header's offsets are patched here.
		batch.SetBaseOffset(b.body, b.base)
		h, err := batch.Parse(b.body)
		if err != nil {
			return 0, fmt.Errorf("%w: offset %d: %w", errDamaged, b.base, err)
		}
		if h.Control() || h.Transactional() && w.isAborted(h.ProducerID, b.base) {
			continue
		}
		if size >= archiveRowBytesMax || size > 0 && len(g.of) >= archiveHoursMax {
			return b.base, g.encode(ctx)
		}
		// A record is decoded where its row will be, if it is of the hour that is gathered.
		table := &first
		if at != nil {
			table = &at.typed.table
		}
		row := table.Next()
		for reader.Open(b.body, archiveBatchBytesMax); reader.Next(&row.Record); row = table.Next() {
			if row.Offset < w.from || row.Offset >= w.to {
				continue
			}
			row.AppendTime = h.LogAppendTime()
			if hour := archive.HourOf(row.Timestamp); at == nil || hour != gathered {
				if g.of[hour] == nil && len(g.of) >= archiveBatchHoursMax {
					hour = archive.NoHour // a batch of a million records in as many hours doesn't make as many objects
				}
				if g.of[hour] == nil {
					g.of[hour] = &hourly{}
				}
				if at == nil {
					g.of[hour].typed.table = first
				}
				at, gathered = g.of[hour], hour
				table = &at.typed.table
			}
			bytes := row.Size() + rowBytes
			p := &at.typed
			if g.typing == nil {
				table.Append(row)
			} else if why := g.typing.Append(table, row); why != nil {
				p = &at.dead
				p.table.AppendDead(row, why)
				bytes += archive.DeadBytesMax
			}
			size, held, g.rows, g.bytes = size+bytes, held+bytes, g.rows+1, g.bytes+bytes
			if len(p.table.Rows) >= archive.WindowRows || g.bytes >= archive.WindowBytes {
				if err := g.put(ctx, p, p == &at.dead); err != nil {
					return 0, err
				}
				if g.bytes >= archive.WindowBytes { // in several hours, perhaps
					if err := g.encode(ctx); err != nil {
						return 0, err
					}
				}
			}
		}
		if err := reader.Err(); err != nil {
			return 0, fmt.Errorf("%w: the batch at offset %d: %w", errDamaged, b.base, err)
		}
		if g.rows >= archive.WindowRows || held >= archive.WindowBytes*3/4 {
			if err := g.encode(ctx); err != nil {
				return 0, err
			}
			reader.Reset()
			held = 0
		}
	}
	return w.to, g.encode(ctx)
}

// encode puts all rows that are decoded into their objects.
func (g *hours) encode(ctx context.Context) error {
	for _, h := range g.of {
		if err := errors.Join(g.put(ctx, &h.typed, false), g.put(ctx, &h.dead, true)); err != nil {
			return err
		}
	}
	g.rows, g.bytes = 0, 0
	return nil
}

// put puts the rows of a portion into its object.
func (g *hours) put(ctx context.Context, p *portion, dead bool) (err error) {
	if len(p.table.Rows) == 0 {
		return nil
	}
	if p.object == nil {
		if p.object, err = g.begin(dead); err != nil {
			return err
		}
	}
	if err := p.object.Append(&p.table); err != nil {
		return fmt.Errorf("encode offsets from %d on: %w", p.table.Rows[0].Offset, err)
	}
	p.table.Reset()
	return ctx.Err()
}

// release has the memory of a job's rows used by the next.
func (g *hours) release() {
	for _, h := range g.of {
		if rows := h.typed.table.Rows; cap(rows) > cap(g.space.rows) {
			g.space.rows = rows[:0]
		}
	}
}

// isAborted tells whether a transactional batch is one of an aborted transaction.
func (w *work) isAborted(producer, base int64) bool {
	return slices.ContainsFunc(w.aborted, func(x segment.Aborted) bool {
		return x.Producer == producer && x.First <= base && base <= x.Last
	})
}
