package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/wadi-io/wadi/compaction/archive"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/wire/batch"
)

// archiving measures what the archive costs beside the encoder that it uses.
type archiving struct {
	file  string // gzip of a JSON array, each element a record
	bytes int64  // of a round's values, the elements repeated
	// join is how many elements, which follow one another, a record is an array of; 1: it is the element.
	join   int
	rounds int
	// profile is where to write profiles of the archive's CPU time, with each round's number behind it; empty: nowhere.
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

// round is what one round took.
type round struct {
	archived, alone time.Duration // of processors
	values          int64         // bytes of keys and values
	objects         int
	encoded, grown  int64 // bytes
}

// run archives and encodes alone by turns: what else the machine does weighs on both alike.
func (a archiving) run(ctx context.Context, out io.Writer) error {
	lines, err := a.lines()
	if err != nil {
		return err
	}
	var all round
	var ratios []float64
	for n := range a.rounds {
		r, err := a.round(ctx, lines, n)
		if err != nil {
			return err
		}
		ratios = append(ratios, r.archived.Seconds()/r.alone.Seconds())
		all.archived, all.alone, all.values = all.archived+r.archived, all.alone+r.alone, all.values+r.values
		all.objects, all.encoded, all.grown = all.objects+r.objects, all.encoded+r.encoded, max(all.grown, r.grown)
	}
	slices.Sort(ratios)
	gib := float64(all.values) / (1 << 30)
	fmt.Fprintf(out, "%d rounds, %.2f GiB of keys and values in %d objects of %.0f MiB together\n", a.rounds, gib, all.objects, float64(all.encoded)/(1<<20))
	fmt.Fprintf(out, "the archive: %.2f CPU-s/GiB; its encoder alone: %.2f; %.2f times as much; a round's least %.2f, median %.2f, most %.2f\n",
		all.archived.Seconds()/gib, all.alone.Seconds()/gib, all.archived.Seconds()/all.alone.Seconds(), ratios[0], ratios[len(ratios)/2], ratios[len(ratios)-1])
	fmt.Fprintf(out, "the heap grew by %.0f MiB at most, the objects left out\n", float64(all.grown)/(1<<20))
	return nil
}

// round fills a world, archives it, and encodes the same rows alone.
func (a archiving) round(ctx context.Context, lines [][]byte, n int) (r round, err error) {
	w, err := newWorld(ctx, archivePartitions, catalog{archived: true})
	if err != nil {
		return r, err
	}
	began := w.now.Load()
	each, values, err := a.fill(w, lines, began)
	if err != nil {
		return r, err
	}
	if err := w.compactor.Archive(ctx, 0); err != nil { // since when they wait
		return r, err
	}
	stats := &w.compactor.Stats
	if stats.ArchiveFiles.Load() > 0 {
		return r, errors.New("so many bytes don't wait to be archived: more rounds of fewer")
	}
	w.now.Add(time.Hour.Milliseconds())
	base, done := heap(), make(chan struct{})
	highest := make(chan int64)
	go func() { highest <- peak(done) }()
	if a.profile != "" {
		f, err := os.Create(fmt.Sprintf("%s.%d", a.profile, n))
		if err != nil {
			return r, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return r, err
		}
	}
	before := cpu()
	for range 100 {
		if err := w.compactor.Archive(ctx, 0); err != nil {
			return r, err
		}
	}
	r.archived = cpu() - before
	pprof.StopCPUProfile()
	close(done)
	r.values, r.grown = values, <-highest-base-stats.ArchiveBytes.Load()
	files, err := w.store.ArchiveFiles(ctx, metastore.ArchiveQuery{Topic: "measured", After: metastore.ArchiveBegin(), Limit: 4096})
	if err != nil {
		return r, err
	}
	r.objects = len(files)
	r.alone, r.encoded, err = a.alone(lines, files, each, began)
	return r, err
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
		if more := float64(len(body)) / float64(f.Bytes); more < 0.95 || more > 1.05 { // pages may end elsewhere
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
