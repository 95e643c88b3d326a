package compaction

import (
	"errors"
	"log/slog"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Config bounds and paces compaction.
type Config struct {
	LookEvery       time.Duration // how often shards are looked at
	MergeEvery      time.Duration // a shard with anything to merge is merged this often
	MergeBytesMin   int64         // or as soon as it has as many bytes to merge
	ExtentsMin      int           // or as many extents, which replicas keep in memory
	JobBytesMax     int64         // source bytes of one merge; its output is about as large
	RewriteBytesMax int64         // of the rows that are merged again into one, in pieces
	PieceBytes      int64         // read and put at once of them; S3 takes 5 MiB at least
	PartitionsMax   int           // of one merge
	GapBytesMax     int64         // bytes that are read for nothing to spare a GET
	ReadsMax        int           // GETs at the same time
	BytesPerSecond  int64         // read and written, together; 0: unbounded
	Share           float64       // of a processor that jobs take while they compute; 1: they make no pauses
	Fan             int           // small extents of one size that are merged again
	RetentionEvery  time.Duration // how often log starts are looked at
	RemoveRowsMax   int           // rows removed by one append
	CleanEvery      time.Duration // how often shards are looked at for key compaction
	KeyMapBytesMax  int64         // of the keys of one pass of key compaction
	CleanBytesMax   int           // of one batch's records, decompressed for key compaction
	CollectEvery    time.Duration // how often the bucket is listed
	Grace           time.Duration // between a segment's retirement and its deletion
	DeletesMax      int           // deletions at the same time
	Log             *slog.Logger
}

// StalenessMin is the least Grace for a longest staleness of replicas (staleness.max):
// twice that, since a reader's plan may be as old as its replica, and at least as long as an append
// that names segments may be on its way.
func StalenessMin(stalenessMax time.Duration) time.Duration {
	return max(2*stalenessMax, metastore.RowsWait)
}

// DefaultConfig merges each ten minutes or 64 MiB, at 32 MiB/s at most.
func DefaultConfig() Config {
	return Config{
		LookEvery:       5 * time.Second,
		MergeEvery:      10 * time.Minute,
		MergeBytesMin:   64 << 20,
		ExtentsMin:      20_000,
		JobBytesMax:     64 << 20,
		RewriteBytesMax: 256 << 20,
		PieceBytes:      16 << 20,
		PartitionsMax:   1000,
		GapBytesMax:     256 << 10,
		ReadsMax:        4,
		BytesPerSecond:  32 << 20,
		Share:           0.33,
		Fan:             8,
		RetentionEvery:  5 * time.Minute,
		RemoveRowsMax:   500,
		CleanEvery:      15 * time.Second,
		KeyMapBytesMax:  128 << 20,
		CleanBytesMax:   128 << 20,
		CollectEvery:    10 * time.Minute,
		Grace:           15 * time.Minute,
		DeletesMax:      8,
		Log:             slog.Default(),
	}
}

// jobBytesLimit bounds JobBytesMax: an output is put at once, and must be read back.
const jobBytesLimit = 512 << 20

// Validate says what is wrong with the config.
func (c Config) Validate() error {
	switch {
	case c.LookEvery <= 0, c.MergeEvery <= 0, c.RetentionEvery <= 0, c.CleanEvery <= 0, c.CollectEvery <= 0, c.Grace <= 0:
		return errors.New("compaction: times must be positive")
	case c.JobBytesMax < 1 || c.JobBytesMax > jobBytesLimit:
		return errors.New("compaction: a job takes 1 byte to 512 MiB")
	case c.PieceBytes < 1 || c.PieceBytes > c.RewriteBytesMax:
		return errors.New("compaction: a piece has 1 byte to as many as a rewrite")
	case c.RewriteBytesMax < 1 || c.RewriteBytesMax > extentBytesMax:
		return errors.New("compaction: rows become one of 1 byte to 256 MiB")
	case c.MergeBytesMin < 1, c.ExtentsMin < 1, c.PartitionsMax < 1, c.PartitionsMax > 4096, c.ReadsMax < 1, c.DeletesMax < 1:
		return errors.New("compaction: a bound is out of range")
	case c.Fan < 2, c.RemoveRowsMax < 1, c.RemoveRowsMax > 4096, c.GapBytesMax < 0, c.BytesPerSecond < 0:
		return errors.New("compaction: a bound is out of range")
	case !(c.Share > 0 && c.Share <= 1):
		return errors.New("compaction: jobs take more than nothing of a processor, and one at most")
	case c.KeyMapBytesMax < KeyMapBytesMin || c.CleanBytesMax < 1:
		return errors.New("compaction: keys and records of key compaction need memory")
	case c.Log == nil:
		return errors.New("compaction: a log is needed")
	}
	return nil
}
