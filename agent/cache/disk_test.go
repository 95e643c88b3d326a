package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/wire/segment"
)

func testDisk(folder string, blocks int) DiskConfig {
	cfg := DefaultDiskConfig()
	cfg.Folder, cfg.BytesMax = folder, int64(blocks)*testBlock
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	return cfg
}

// tiers is a cache of few blocks in memory over a disk, in a bubble.
type tiers struct {
	t      *testing.T
	source *source
	disk   *Disk
	cache  *Cache
	folder string
}

func inTiers(t *testing.T, blocks int, files func(diskFiles) diskFiles, run func(x *tiers)) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		buffers, err := NewBuffers(0)
		if err != nil {
			t.Fatal(err)
		}
		cfg := testDisk(folder, blocks)
		disk := newDisk(cfg, buffers, files(folderFiles(folder)))
		x := &tiers{t: t, source: newSource(), disk: disk, folder: folder}
		x.cache, err = New(Config{BytesMax: 4 * testBlock, BlockBytes: testBlock, LoadsMax: 4, RoomWaitMax: time.Second, Disk: disk}, x.source.load, buffers)
		if err != nil {
			t.Fatal(err)
		}
		run(x)
		x.cache.Close()
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) > 0 {
			t.Errorf("left on the disk: %v, %v", left, err)
		}
	})
}

func asTheyAre(f diskFiles) diskFiles { return f }

// read reads a segment of one block and says how many loads of the bucket that took.
func (x *tiers) read(id segment.ID) int {
	x.t.Helper()
	x.source.mu.Lock()
	x.source.loads = map[string]int{}
	want := x.source.bytes[id]
	x.source.mu.Unlock()
	p, err := x.cache.Read(context.Background(), id, 0, int64(len(want)))
	if err != nil {
		x.t.Fatal(err)
	}
	defer p.Release()
	if !bytes.Equal(bytes.Join(p.Slices, nil), want) {
		x.t.Error("other bytes than the bucket's")
	}
	synctest.Wait()
	x.source.mu.Lock()
	defer x.source.mu.Unlock()
	return len(x.source.loads)
}

// outOfMemory takes everything out of the memory.
func (x *tiers) outOfMemory() {
	var freed freeable
	x.cache.mu.Lock()
	for _, e := range x.cache.mu.entries {
		freed = x.cache.dropLocked(e, freed)
	}
	x.cache.mu.Unlock()
	freed.run()
}

func TestDisk_SparesTheBucket(t *testing.T) {
	inTiers(t, 10, asTheyAre, func(x *tiers) {
		id, short := x.source.add(1, testBlock), x.source.add(2, 100)
		for _, id := range []segment.ID{id, short} {
			if n := x.read(id); n != 1 {
				t.Errorf("%d loads at first", n)
			}
			for range 3 {
				x.outOfMemory()
				if n := x.read(id); n != 0 {
					t.Errorf("%d loads of what is on the disk", n)
				}
			}
		}
		if s := x.disk.Stats(); s.Hits != 6 || s.Writes != 2 || s.Broken != 0 || s.Blocks != 2 || s.Bytes != testBlock+100 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDisk_BrokenBlocks damages the one file in every way: the bytes come from the
// bucket, and the block is written anew.
func TestDisk_BrokenBlocks(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"a flipped bit": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
		"a torn write": func(path string) error { return os.Truncate(path, 1000) },
		"emptied":      func(path string) error { return os.Truncate(path, 0) },
		"removed":      os.Remove,
		"zeros":        func(path string) error { return os.WriteFile(path, make([]byte, testBlock), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			inTiers(t, 10, asTheyAre, func(x *tiers) {
				id := x.source.add(1, testBlock)
				x.read(id)
				x.outOfMemory()
				files, err := filepath.Glob(filepath.Join(x.folder, "*"+blockSuffix))
				if err != nil || len(files) != 1 {
					t.Fatal(files, err)
				}
				if err := damage(files[0]); err != nil {
					t.Fatal(err)
				}
				if n := x.read(id); n != 1 {
					t.Errorf("%d loads of a broken block", n)
				}
				x.outOfMemory()
				if n := x.read(id); n != 0 {
					t.Errorf("%d loads after it was written anew", n)
				}
				if s := x.disk.Stats(); s.Broken != 1 || s.Blocks != 1 || s.Bytes != testBlock {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// full is a disk without room while it is told so; half of each block is there.
type full struct {
	diskFiles
	mu  sync.Mutex
	now bool
}

func (f *full) set(now bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

func (f *full) write(name string, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.now {
		return f.diskFiles.write(name, body)
	}
	return errors.Join(f.diskFiles.write(name, body[:len(body)/2]), syscall.ENOSPC)
}

func TestDisk_FullDisk(t *testing.T) {
	f := &full{now: true}
	inTiers(t, 10, func(d diskFiles) diskFiles { f.diskFiles = d; return f }, func(x *tiers) {
		id, other := x.source.add(1, testBlock), x.source.add(2, testBlock)
		for range 3 { // The first fails; then nothing is tried for a while.
			x.outOfMemory()
			if n := x.read(id); n != 1 {
				t.Errorf("%d loads", n)
			}
		}
		if s := x.disk.Stats(); s.WritesFailed != 1 || s.Dropped != 2 || s.Blocks != 0 || s.Bytes != 0 {
			t.Errorf("%+v", s)
		}
		if left, _ := filepath.Glob(filepath.Join(x.folder, "*")); len(left) > 0 {
			t.Errorf("half a block stays: %v", left)
		}
		f.set(false)
		time.Sleep(x.disk.cfg.PauseTime)
		x.read(other)
		x.outOfMemory()
		if n := x.read(other); n != 0 {
			t.Errorf("%d loads once there is room again", n)
		}
	})
}

// TestDisk_WrongFromTheBucket: what a reader found wrong in memory isn't read from
// the disk again.
func TestDisk_WrongFromTheBucket(t *testing.T) {
	inTiers(t, 10, asTheyAre, func(x *tiers) {
		id := x.source.add(1, testBlock)
		x.read(id)
		p, err := x.cache.Read(t.Context(), id, 0, testBlock)
		if err != nil {
			t.Fatal(err)
		}
		p.Evict()
		if n := x.read(id); n != 1 {
			t.Errorf("%d loads after an eviction", n)
		}
		x.cache.Evict(id)
		if n := x.read(id); n != 1 {
			t.Errorf("%d loads after the segment was forgotten", n)
		}
	})
}

// TestDisk_Scan reads some blocks again and again while a scan goes by that is much
// larger than the disk: they stay, and the bound holds.
func TestDisk_Scan(t *testing.T) {
	inTiers(t, 10, asTheyAre, func(x *tiers) {
		var hot []segment.ID
		for n := range 5 {
			hot = append(hot, x.source.add(uint64(n), testBlock))
			x.read(hot[n])
		}
		loads := 0
		for n := range 100 {
			x.read(x.source.add(uint64(1000+n), testBlock))
			if n%4 == 0 {
				for _, id := range hot {
					x.outOfMemory()
					loads += x.read(id)
				}
			}
			if s := x.disk.Stats(); s.Bytes > 10*testBlock || s.Blocks > 10 {
				t.Fatalf("%+v", s)
			}
		}
		if loads > 0 {
			t.Errorf("%d loads of what is read again and again", loads)
		}
		if s := x.disk.Stats(); s.Evictions != 95 {
			t.Errorf("%+v", s)
		}
	})
}

func TestOpenDisk_SweepsItsOwn(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	cfg := testDisk(folder, 4)
	buffers, err := NewBuffers(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1" + blockSuffix, "foreign.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDisk(cfg, buffers)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "foreign.txt" {
		t.Errorf("%v, %v", left, err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	d.keep(key{segment.ID{Term: 1}, 0}, []byte("late"))
	if _, ok := d.read(key{segment.ID{Term: 1}, 0}, make([]byte, 10)); ok {
		t.Error("a closed disk holds something")
	}
	cfg.BytesMax = 0
	if _, err := OpenDisk(cfg, buffers); err == nil {
		t.Error("a disk without room")
	}
}
