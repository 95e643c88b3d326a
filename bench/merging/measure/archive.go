package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"time"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/batch"
)

// archiving measures what the archive costs beside the encoder that it uses.
type archiving struct {
	file  string // gzip of a JSON array, each element a record
	bytes int64  // of values, the elements repeated
	// profile is where to write a profile of the archive's CPU time; empty: nowhere.
	profile string
}

// lines reads the file.
func (a archiving) lines() ([][]byte, error) {
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.NewDecoder(unpacked).Decode(&rows); err != nil {
		return nil, err
	}
	var lines [][]byte
	for _, row := range rows {
		lines = append(lines, row)
	}
	return lines, nil
}

const (
	archiveBatch      = 500 // records
	archivePartitions = 4
)

// fill flushes the records and returns them by partition, as the archive shall have them.
func (a archiving) fill(w *world, lines [][]byte) (rows [archivePartitions][]archive.Row, err error) {
	for n, left := 0, a.bytes; left > 0; {
		batches := map[int32][]byte{}
		for i := range int32(archivePartitions) {
			var records []batch.Record
			for range archiveBatch {
				value := lines[n%len(lines)]
				r := batch.Record{Offset: int64(len(records)), Timestamp: w.now.Load() + int64(n%1000), Key: fmt.Appendf(nil, "%d", n%5000), Value: value}
				n++
				left -= int64(len(value))
				records = append(records, r)
				r.Offset = int64(len(rows[i]))
				rows[i] = append(rows[i], archive.Row{Record: r})
			}
			plain := batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records)
			if batches[i], err = batch.Recompress(plain, batch.LZ4, 0, 64<<20); err != nil {
				return rows, err
			}
		}
		if err := w.flush(batches); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// peak samples what collections of garbage found alive, until done is closed.
func peak(done <-chan struct{}) int64 {
	most := uint64(0)
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(sample)
		most = max(most, sample[0].Value.Uint64())
		select {
		case <-done:
			return int64(most)
		case <-tick.C:
		}
	}
}

func (a archiving) run(ctx context.Context, out io.Writer) error {
	lines, err := a.lines()
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, archivePartitions, catalog{archived: true})
	if err != nil {
		return err
	}
	rows, err := a.fill(w, lines)
	if err != nil {
		return err
	}
	if err := w.compactor.Archive(ctx, 0); err != nil { // since when they wait
		return err
	}
	w.now.Add(time.Hour.Milliseconds())
	base, done := heap(), make(chan struct{})
	highest := make(chan int64)
	go func() { highest <- peak(done) }()
	if a.profile != "" {
		f, err := os.Create(a.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	before := cpu()
	for range 100 {
		if err := w.compactor.Archive(ctx, 0); err != nil {
			return err
		}
	}
	archived := cpu() - before
	pprof.StopCPUProfile()
	close(done)
	stats := &w.compactor.Stats
	grown := <-highest - base - stats.ArchiveBytes.Load()
	files, err := w.store.ArchiveFiles(ctx, metastore.ArchiveQuery{Topic: "measured", After: metastore.ArchiveBegin(), Limit: 4096})
	if err != nil {
		return err
	}
	var encoder archive.Encoder
	count, encoded := int64(0), int64(0)
	heap()
	before = cpu()
	for i := range files {
		f := &files[i]
		some := rows[f.Partition][f.First : f.Last+1]
		body, err := encoder.Encode(archive.Info{Cluster: clusterID, Topic: f.Topic, TopicID: f.TopicID, Partition: f.Partition, Value: archive.Binary}, &archive.Table{Rows: some})
		if err != nil {
			return err
		}
		if int64(len(body)) != f.Bytes {
			return fmt.Errorf("offsets %d to %d take %d bytes, and %d in the archive", f.First, f.Last, len(body), f.Bytes)
		}
		count += int64(len(some))
		encoded += int64(len(body))
	}
	alone := cpu() - before
	values := int64(0)
	for i := range rows {
		for k := range rows[i] {
			values += int64(len(rows[i][k].Key) + len(rows[i][k].Value))
		}
		count -= int64(len(rows[i]))
	}
	if count != 0 {
		return fmt.Errorf("the archive has %d records more than were written", count)
	}
	gib := float64(values) / (1 << 30)
	fmt.Fprintf(out, "%.2f GiB of keys and values in %d objects of %.0f MiB together\n", gib, len(files), float64(encoded)/(1<<20))
	fmt.Fprintf(out, "the archive: %.2f CPU-s/GiB; its encoder alone: %.2f; %.2f times as much\n", archived.Seconds()/gib, alone.Seconds()/gib, archived.Seconds()/alone.Seconds())
	fmt.Fprintf(out, "the heap grew by %.0f MiB at most, the objects left out\n", float64(grown)/(1<<20))
	return nil
}
