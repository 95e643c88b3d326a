package compaction

import (
	"fmt"
	"slices"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/wire/batch"
	"github.com/wadi-io/wadi/wire/segment"
)

// decoding is the memory that jobs of the archive decode records in.
type decoding struct {
	reader batch.Reader
	rows   []archive.Row // the longest table's
}

// release has the memory of a job's hours used by the next.
func (m *decoding) release(hours map[archive.Hour]*hourly) {
	m.reader.Reset()
	for _, h := range hours {
		if cap(h.typed.Rows) > cap(m.rows) {
			m.rows = h.typed.Rows[:0]
		}
	}
}

// hourly is what an archive job has of one hour: an object each.
type hourly struct {
	typed, dead archive.Table
}

// hours decodes the work's records, those of aborted transactions and markers left out, by
// the hours of their timestamps, until they are enough; to is the offset after the last one decoded. typing may be nil.
func (w *work) hours(m *decoding, typing *archive.Typing) (hours map[archive.Hour]*hourly, to int64, err error) {
	hours = map[archive.Hour]*hourly{}
	size, rowBytes := 0, 0
	if typing != nil {
		rowBytes = typing.RowBytes()
	}
	// The hour that is gathered, so that the map isn't asked for each record. The first has room
	// for all there are: mostly they are of one hour.
	var at *hourly
	var gathered archive.Hour
	first := archive.Table{Rows: slices.Grow(m.rows[:0], w.recordsMax())}
	m.rows = nil
	for _, b := range w.batches {
		// A batch may have been merged already or not: its header's offsets are patched here.
		batch.SetBaseOffset(b.body, b.base)
		h, err := batch.Parse(b.body)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: offset %d: %w", errDamaged, b.base, err)
		}
		if h.Control() || h.Transactional() && w.isAborted(h.ProducerID, b.base) {
			continue
		}
		if size >= archiveRowBytesMax || size > 0 && len(hours) >= archiveHoursMax {
			return hours, b.base, nil
		}
		// A record is decoded where its row will be, if it is of the hour that is gathered.
		table := &first
		if at != nil {
			table = &at.typed
		}
		row := table.Next()
		for m.reader.Open(b.body, archiveBatchBytesMax); m.reader.Next(&row.Record); row = table.Next() {
			if row.Offset < w.from || row.Offset >= w.to {
				continue
			}
			row.AppendTime = h.LogAppendTime()
			if hour := archive.HourOf(row.Timestamp); at == nil || hour != gathered {
				if hours[hour] == nil && len(hours) >= archiveBatchHoursMax {
					hour = archive.NoHour // a batch of a million records in as many hours doesn't make as many objects
				}
				if hours[hour] == nil {
					hours[hour] = &hourly{}
				}
				if at == nil {
					hours[hour].typed = first
				}
				at, gathered = hours[hour], hour
				table = &at.typed
			}
			size += row.Size() + rowBytes
			if typing == nil {
				table.Append(row)
			} else if why := typing.Append(table, row); why != nil {
				at.dead.AppendDead(row, why)
				size += archive.DeadBytesMax
			}
		}
		if err := m.reader.Err(); err != nil {
			return nil, 0, fmt.Errorf("%w: the batch at offset %d: %w", errDamaged, b.base, err)
		}
	}
	if at == nil {
		m.rows = first.Rows
	}
	return hours, w.to, nil
}

// recordsMax is how many records the work's batches have by their headers, as far as a job takes them.
func (w *work) recordsMax() int {
	n := int64(0)
	for _, b := range w.batches {
		if h, err := batch.Parse(b.body); err == nil {
			n += int64(max(0, h.Records))
		}
	}
	return int(min(n, archiveRowBytesMax/archive.RowBytesMin))
}

// isAborted tells whether a transactional batch is one of an aborted transaction.
func (w *work) isAborted(producer, base int64) bool {
	return slices.ContainsFunc(w.aborted, func(x segment.Aborted) bool {
		return x.Producer == producer && x.First <= base && base <= x.Last
	})
}
