package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAgent_CacheOnDisk: what memory has no room for is read from the bucket once, and
// from the disk after that; the folder is one process's alone and left empty.
func TestAgent_CacheOnDisk(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	blocks := func() (n int) {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".wadi-block") {
				n++
			}
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNeighbourhood(t)
		a := n.start("a", true)
		b := n.startWith(true, func(c *Config) {
			c.Zone, c.CacheBytes, c.CacheDisk = "b", 16<<20, CacheDisk{Folder: folder, BytesMax: 1 << 30}
		})
		a.create("t", 1)
		time.Sleep(2 * time.Second)
		producer := a.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
		const records = 48
		for range records {
			if err := producer.ProduceSync(t.Context(), record("t", 0, strings.Repeat("x", 900_000))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		read := func() int64 {
			before := b.cost()
			reader := b.client(kgo.FetchMaxPartitionBytes(1<<20), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
			values(t, reader, records)
			reader.Close()
			time.Sleep(time.Second)
			synctest.Wait() // the disk has written what it took
			return b.cost().since(before).gets
		}
		first, disk := read(), b.process.disk.Stats()
		// A block that was wanted again before it had been written is one file of two GETs.
		if first < records/2 || disk.Writes == 0 || disk.Writes+disk.Dropped > first || int64(blocks()) != disk.Writes {
			t.Fatalf("%d GETs; %d files; %+v", first, blocks(), disk)
		}
		// What a slow disk had no room for is kept by a later pass: a block of the queue at least.
		passes := 1
		for read() > 0 {
			if passes++; passes > records {
				t.Fatalf("each of %d passes reads the bucket: %+v", passes, b.process.disk.Stats())
			}
		}
		if after := b.process.disk.Stats(); after.Hits == 0 || after.Broken > 0 || after.Blocks < disk.Blocks {
			t.Errorf("after %d passes: %+v", passes, after)
		}
		another := b.cfg
		another.Given.Listener, another.Given.PeerListener = newPipes(), nil
		if p, err := openProcess(t.Context(), another); err == nil || !strings.Contains(err.Error(), "another wadi process uses the folder") {
			if err == nil {
				p.close()
			}
			t.Errorf("another process in the folder: %v", err)
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
	})
	if n := blocks(); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}
