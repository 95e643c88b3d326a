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
	// join is how many elements, which follow one another, a record is an array of; 1: it is the element.
	join int
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
	for ; len(rows) >= a.join; rows = rows[a.join:] {
		if a.join == 1 {
			lines = append(lines, rows[0])
			continue
		}
		joined, err := json.Marshal(rows[:a.join])
		if err != nil {
			return nil, err
		}
		lines = append(lines, joined)
	}
	return lines, nil
}

const (
	archiveJoinMax    = 100
	archiveBatch      = 500 // records
	archivePartitions = 4
)

// records are what a partition has from an offset on: any partition's n-th record is the same in each run.
func (a archiving) records(lines [][]byte, partition int32, from, to int64, base int64) (records []batch.Record) {
	for offset := from; offset < to; offset++ {
		n := int(offset/archiveBatch*archiveBatch*archivePartitions) + int(partition)*archiveBatch + int(offset%archiveBatch)
		records = append(records, batch.Record{Offset: offset, Timestamp: base + int64(n%1000), Key: fmt.Appendf(nil, "%d", n%5000), Value: lines[n%len(lines)]})
	}
	return records
}

// fill flushes as many records as asked for, and returns how many each partition has, and the bytes of all keys and values.
func (a archiving) fill(w *world, lines [][]byte, base int64) (each, bytes int64, err error) {
	for left := a.bytes; left > 0; each += archiveBatch {
		batches := map[int32][]byte{}
		for i := range int32(archivePartitions) {
			records := a.records(lines, i, each, each+archiveBatch, base)
			for k := range records {
				left -= int64(len(records[k].Value))
				bytes += int64(len(records[k].Key) + len(records[k].Value))
				records[k].Offset -= each
			}
			plain := batch.Append(nil, batch.Header{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, records)
			if batches[i], err = batch.Recompress(plain, batch.LZ4, 0, 64<<20); err != nil {
				return each, bytes, err
			}
		}
		if err := w.flush(batches); err != nil {
			return each, bytes, err
		}
	}
	return each, bytes, nil
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
	began := w.now.Load()
	each, values, err := a.fill(w, lines, began)
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
	alone, encoded, err := a.alone(lines, files, each, began)
	if err != nil {
		return err
	}
	gib := float64(values) / (1 << 30)
	fmt.Fprintf(out, "%.2f GiB of keys and values in %d objects of %.0f MiB together\n", gib, len(files), float64(encoded)/(1<<20))
	fmt.Fprintf(out, "the archive: %.2f CPU-s/GiB; its encoder alone: %.2f; %.2f times as much\n", archived.Seconds()/gib, alone.Seconds()/gib, archived.Seconds()/alone.Seconds())
	fmt.Fprintf(out, "the heap grew by %.0f MiB at most, the objects left out\n", float64(grown)/(1<<20))
	return nil
}

// alone encodes the same rows as the archive has in its objects, an object's at a time as the archive does, and returns
// the CPU time of only that. Other rows than the archive's, or other bytes, are an error.
func (a archiving) alone(lines [][]byte, files []metastore.ArchiveFile, each, began int64) (took time.Duration, encoded int64, err error) {
	var encoder archive.Encoder
	count := int64(0)
	for i := range files {
		f := &files[i]
		var table archive.Table
		// Each value has bytes of its own, as records have that were read: the file's few would stay in the processor's cache.
		records := a.records(lines, f.Partition, f.First, f.Last+1, began)
		var bytes []byte
		for k := range records {
			bytes = append(append(bytes, records[k].Key...), records[k].Value...)
		}
		table.Rows = make([]archive.Row, 0, len(records))
		for _, r := range records {
			n, all := len(r.Key), len(r.Key)+len(r.Value)
			r.Key, r.Value, bytes = bytes[:n:n], bytes[n:all:all], bytes[all:]
			table.Rows = append(table.Rows, archive.Row{Record: r})
		}
		heap() // what making the rows has left is collected at nobody's cost
		before := cpu()
		body, err := encoder.Encode(archive.Info{Cluster: clusterID, Topic: f.Topic, TopicID: f.TopicID, Partition: f.Partition, Value: archive.Binary}, &table)
		if err != nil {
			return 0, 0, err
		}
		took += cpu() - before
		if int64(len(body)) != f.Bytes {
			return 0, 0, fmt.Errorf("offsets %d to %d take %d bytes, and %d in the archive", f.First, f.Last, len(body), f.Bytes)
		}
		count += int64(len(table.Rows))
		encoded += int64(len(body))
	}
	if count != each*archivePartitions {
		return 0, 0, fmt.Errorf("the archive has %d records of %d", count, each*archivePartitions)
	}
	return took, encoded, nil
}
