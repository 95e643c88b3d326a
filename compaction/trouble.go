package compaction

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/metastore/shard"
)

// A job that meets a source which can't be read is tried again: buckets fail, and come
// back. It is put off by retryFirst, then by twice that, up to retryMax.
const (
	retryFirst = 5 * time.Second
	retryMax   = 5 * time.Minute
)

// A partition whose source is damaged stops, and is looked at again after stopFirst, then after twice that, up to stopMax: somebody
// may have put back what was there, or the bucket gave what it doesn't hold.
const (
	stopFirst = time.Minute
	stopMax   = time.Hour
)

// errDamaged says that a source was read, twice, and isn't what was written.
var errDamaged = errors.New("a source is not what was written")

// putOff is until when a partition's jobs wait for another try.
type putOff struct {
	pause time.Duration
	until time.Time
}

// longer is the next pause, which begins now.
func (p putOff) longer(now time.Time, first, most time.Duration) putOff {
	p.pause = min(max(2*p.pause, first), most)
	return putOff{p.pause, now.Add(p.pause)}
}

// troubles are what is wrong with partitions. Compactor.mu guards them.
type troubles struct {
	stopped     map[shard.PartitionID]halt   // damaged
	uncleanable map[shard.PartitionID]error  // those that key compaction can't go over
	putOff      map[shard.PartitionID]putOff // those whose sources could not be read just now
}

// halt is why a partition has stopped, and until when.
type halt struct {
	putOff
	why error
}

func newTroubles() troubles {
	return troubles{map[shard.PartitionID]halt{}, map[shard.PartitionID]error{}, map[shard.PartitionID]putOff{}}
}

// rests tells whether nothing is to be done with a partition now.
func (c *Compactor) rests(id shard.PartitionID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.deps.Now()
	return now.Before(c.mu.putOff[id].until) || now.Before(c.mu.stopped[id].until)
}

// wasPutOff tells whether a partition's jobs were put off, and have not been tried since.
func (c *Compactor) wasPutOff(id shard.PartitionID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, is := c.mu.putOff[id]
	return is
}

// readable ends what put a partition's jobs off.
func (c *Compactor) readable(id shard.PartitionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.putOff, id)
}

// tryLater puts partitions' jobs off, and says why.
func (c *Compactor) tryLater(err error, ids ...shard.PartitionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, longest := c.deps.Now(), time.Duration(0)
	for _, id := range ids {
		off := c.mu.putOff[id].longer(now, retryFirst, retryMax)
		c.mu.putOff[id] = off
		longest = max(longest, off.pause)
	}
	c.Stats.Failures.Add(1)
	level := slog.LevelWarn
	if longest == retryMax {
		level = slog.LevelError // for minutes now: an object that is gone looks like this
	}
	c.cfg.Log.Log(context.Background(), level, "partitions' segments can't be read now; their compaction is tried again",
		"partitions", len(ids), "first", ids[0], "in", longest, "err", err)
}

// stop stops a partition's jobs for a time, and says why.
func (c *Compactor) stop(id shard.PartitionID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.putOff, id)
	s, was := c.mu.stopped[id]
	if !was {
		c.Stats.Stopped.Add(1)
	}
	s = halt{s.longer(c.deps.Now(), stopFirst, stopMax), err}
	c.mu.stopped[id] = s
	c.cfg.Log.Error("a partition's merging and archive have stopped: what the bucket holds of it is damaged; nothing of it is dropped",
		"partition", id, "looked at again in", s.pause, "err", err)
}

// worked ends what had stopped a partition: a job of it came to its end.
func (c *Compactor) worked(id shard.PartitionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, was := c.mu.stopped[id]; was {
		delete(c.mu.stopped, id)
		c.Stats.Stopped.Add(-1)
		c.cfg.Log.Info("a partition's merging and archive go on: its segments are what was written", "partition", id)
	}
}

// Stopped returns why a partition's jobs have stopped, nil if they haven't.
func (c *Compactor) Stopped(id shard.PartitionID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.stopped[id].why
}

// cannotClean ends the key compaction of a partition in this term, and says why.
// Merging, retention and readers go on.
func (c *Compactor) cannotClean(id shard.PartitionID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.uncleanable[id] == nil {
		c.mu.uncleanable[id] = err
		c.Stats.Uncleanable.Add(1)
		c.cfg.Log.Error("a partition's key compaction has stopped: a batch of it can't be gone over; nothing of it is dropped",
			"partition", id, "err", err)
	}
}

// Uncleanable returns why a partition's key compaction has stopped, nil if it hasn't.
func (c *Compactor) Uncleanable(id shard.PartitionID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.uncleanable[id]
}
