package cache

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wadi-io/wadi/wire/segment"
)

// DiskConfig bounds a Disk.
type DiskConfig struct {
	Folder    string        // of this process alone; it is made, and swept at the start and at the end
	BytesMax  int64         // of blocks on the disk
	QueueMax  int           // blocks in memory that wait to be written; more are not kept
	PauseTime time.Duration // without writes, after one failed
	Clock     func() time.Time
	Log       *slog.Logger
}

// DefaultDiskConfig is for blocks of 8 MiB; Folder and BytesMax are missing.
func DefaultDiskConfig() DiskConfig {
	return DiskConfig{QueueMax: 4, PauseTime: time.Minute, Clock: time.Now, Log: slog.Default()}
}

// Disk keeps blocks that were loaded from the bucket in files, under the blocks in
// memory. Nothing on it matters: what is on it is known, with its checksum, to this
// process only, and what is wrong, torn or missing is read from the bucket.
type Disk struct {
	cfg     DiskConfig
	buffers *Buffers
	files   diskFiles
	queue   chan diskWrite
	done    chan struct{} // closed when the writer has ended
	mu      struct {
		sync.Mutex
		closed bool
		blocks map[key]*diskBlock
		hand   *diskBlock // where the search for a victim goes on, in the ring of all blocks
		bytes  int64
		named  uint64    // files
		paused time.Time // no writes before it
		stats  DiskStats
	}
}

// diskFiles are the calls to the file system.
type diskFiles interface {
	write(name string, body []byte) error
	read(name string, dst []byte) error
	remove(name string) error
}

// diskBlock is a block on the disk. It is in a ring, and leaves it by the second
// chance (CLOCK): what was read since the hand came by stays, so that a scan, which
// reads each block once, evicts itself first.
type diskBlock struct {
	key
	name       string // of its file; never used for another one
	length     int
	sum        uint32
	read       bool
	prev, next *diskBlock
}

// diskWrite is a block that waits to be written.
type diskWrite struct {
	key
	body []byte
}

// DiskStats tell what happened since the Disk was made, and what it holds now.
type DiskStats struct {
	Hits, Misses int64
	Broken       int64 // blocks that were not what was written, or could not be read
	Writes       int64
	WritesFailed int64 // then nothing is written for a while
	Dropped      int64 // blocks that were not kept, since the disk is slow or paused
	Evictions    int64
	Blocks       int64
	Bytes        int64
	BytesMax     int64
}

// blockSuffix ends the names of a Disk's files: nothing else in the folder is touched.
const blockSuffix = ".wadi-block"

// OpenDisk makes the folder and removes what an earlier process left in it. The
// caller has made sure that no other process uses it.
func OpenDisk(cfg DiskConfig, buffers *Buffers) (*Disk, error) {
	if cfg.BytesMax <= 0 || cfg.QueueMax < 1 {
		return nil, errors.New("cache: a disk needs room for a block at least")
	}
	if err := os.MkdirAll(cfg.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache's folder: %w", err)
	}
	if err := sweep(cfg.Folder); err != nil {
		return nil, fmt.Errorf("sweep the cache's folder: %w", err)
	}
	return newDisk(cfg, buffers, folderFiles(cfg.Folder)), nil
}

func newDisk(cfg DiskConfig, buffers *Buffers, files diskFiles) *Disk {
	d := &Disk{cfg: cfg, buffers: buffers, files: files, queue: make(chan diskWrite, cfg.QueueMax), done: make(chan struct{})}
	d.mu.blocks = map[key]*diskBlock{}
	go d.writeAll()
	return d
}

// Close ends the writes and removes the files. Reads go on finding nothing.
func (d *Disk) Close() error {
	d.mu.Lock()
	closed := d.mu.closed
	if !closed {
		d.mu.closed = true
		close(d.queue)
	}
	d.mu.Unlock()
	<-d.done
	if closed {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.blocks, d.mu.hand, d.mu.bytes = map[key]*diskBlock{}, nil, 0
	return sweep(d.cfg.Folder)
}

// read fills dst with a block, and returns how long it is; false if it isn't there, or not whole.
func (d *Disk) read(k key, dst []byte) (int, bool) {
	d.mu.Lock()
	b := d.mu.blocks[k]
	if b == nil || b.length > len(dst) {
		d.mu.stats.Misses++
		d.mu.Unlock()
		return 0, false
	}
	b.read = true
	d.mu.Unlock()
	err := d.files.read(b.name, dst[:b.length])
	if err == nil && crc32.Checksum(dst[:b.length], diskTable()) == b.sum {
		d.mu.Lock()
		d.mu.stats.Hits++
		d.mu.Unlock()
		return b.length, true
	}
	d.mu.Lock()
	d.mu.stats.Misses++
	broken := d.mu.blocks[k] == b // else it was evicted meanwhile
	if broken {
		d.mu.stats.Broken++
		d.dropLocked(b)
	}
	d.mu.Unlock()
	if broken {
		d.remove(b.name)
		d.cfg.Log.Warn("a block of the cache on disk is broken; reading the bucket", "segment", k.id.Key(), "block", k.index, "err", err)
	}
	return 0, false
}

// keep has a block written, if there is room in the queue. body is copied.
func (d *Disk) keep(k key, body []byte) {
	if int64(len(body)) > d.cfg.BytesMax || len(body) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed || d.mu.blocks[k] != nil {
		return
	}
	if len(d.queue) == cap(d.queue) || d.cfg.Clock().Before(d.mu.paused) {
		d.mu.stats.Dropped++
		return
	}
	buf := d.buffers.Get(len(body))
	copy(buf, body)
	d.queue <- diskWrite{k, buf} // Not full: only keep sends, under the lock.
}

// writeAll is the one writer.
func (d *Disk) writeAll() {
	defer close(d.done)
	for w := range d.queue {
		d.write(w)
		d.buffers.Put(w.body)
	}
}

func (d *Disk) write(w diskWrite) {
	b := &diskBlock{key: w.key, length: len(w.body), sum: crc32.Checksum(w.body, diskTable())}
	evicted, ok := d.place(b)
	for _, name := range evicted {
		d.remove(name)
	}
	if !ok {
		return
	}
	err := d.files.write(b.name, w.body)
	if err != nil {
		d.remove(b.name)
		d.cfg.Log.Warn("the cache on disk can't be written; going without for a while", "pause", d.cfg.PauseTime, "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.mu.bytes -= int64(b.length)
		d.mu.stats.WritesFailed++
		d.mu.paused = d.cfg.Clock().Add(d.cfg.PauseTime)
		return
	}
	d.mu.stats.Writes++
	d.mu.blocks[b.key] = b
	if h := d.mu.hand; h == nil {
		b.prev, b.next, d.mu.hand = b, b, b
	} else { // Behind the hand: it comes by last.
		b.prev, b.next = h.prev, h
		h.prev.next, h.prev = b, b
	}
}

// place makes room for a block and names its file. The room counts before the file
// is there, since half a file takes room, too.
func (d *Disk) place(b *diskBlock) (evicted []string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed || d.mu.blocks[b.key] != nil {
		return nil, false
	}
	for d.mu.bytes+int64(b.length) > d.cfg.BytesMax {
		evicted = append(evicted, d.evictLocked())
	}
	d.mu.bytes += int64(b.length)
	d.mu.named++
	b.name = fmt.Sprintf("%016x%s", d.mu.named, blockSuffix)
	return evicted, true
}

// evictLocked drops the first block that was not read since the hand came by, and
// returns the name of its file.
func (d *Disk) evictLocked() string {
	for d.mu.hand.read {
		d.mu.hand.read = false
		d.mu.hand = d.mu.hand.next
	}
	victim := d.mu.hand
	d.mu.stats.Evictions++
	d.dropLocked(victim)
	return victim.name
}

func (d *Disk) dropLocked(b *diskBlock) {
	delete(d.mu.blocks, b.key)
	d.mu.bytes -= int64(b.length)
	if b.next == b {
		d.mu.hand = nil
		return
	}
	b.prev.next, b.next.prev = b.next, b.prev
	if d.mu.hand == b {
		d.mu.hand = b.next
	}
}

// remove removes a file that nobody will ask for any more.
func (d *Disk) remove(name string) {
	if err := d.files.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.cfg.Log.Warn("removing a block of the cache on disk", "err", err)
	}
}

// forget drops a block that was found wrong in memory, or all of a segment.
func (d *Disk) forget(k key) {
	var names []string
	d.mu.Lock()
	for _, b := range d.mu.blocks {
		if b.id == k.id && (k.index == wholeSegment || b.index == k.index) {
			d.dropLocked(b)
			names = append(names, b.name)
		}
	}
	d.mu.Unlock()
	for _, name := range names {
		d.remove(name)
	}
}

// Stats returns the counts.
func (d *Disk) Stats() DiskStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.mu.stats
	s.Blocks, s.Bytes, s.BytesMax = int64(len(d.mu.blocks)), d.mu.bytes, d.cfg.BytesMax
	return s
}

func diskTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// sweep removes the blocks in a folder, and nothing else.
func sweep(folder string) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), blockSuffix) {
			if err := os.Remove(filepath.Join(folder, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// folderFiles are the files of a folder. Nothing is synced: what a crash leaves is swept.
type folderFiles string

func (f folderFiles) path(name string) string { return filepath.Join(string(f), name) }

func (f folderFiles) write(name string, body []byte) error {
	return os.WriteFile(f.path(name), body, 0o600)
}

func (f folderFiles) remove(name string) error { return os.Remove(f.path(name)) }

// read fills dst, which the file must hold exactly.
func (f folderFiles) read(name string, dst []byte) error {
	file, err := os.Open(f.path(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if n, err := file.ReadAt(dst, 0); n < len(dst) {
		return fmt.Errorf("%d of %d bytes: %w", n, len(dst), err)
	}
	return nil
}

// through loads a block from the disk, else by load, and keeps it on the disk.
func (d *Disk) through(k key, offset int64, dst []byte, load func(id segment.ID, offset int64, dst []byte) (int, error)) (int, error) {
	if n, ok := d.read(k, dst); ok {
		return n, nil
	}
	n, err := load(k.id, offset, dst)
	if err == nil {
		d.keep(k, dst[:n])
	}
	return n, err
}
