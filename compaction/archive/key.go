package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Prefix opens the keys of the archive's objects. Persisted; never change.
const Prefix = "archive/"

// folderBytesMax bounds a topic's folder, so that a key fits its column of the
// metastore. Persisted; never change: warehouses know folders.
const folderBytesMax = 120

// deadSuffix ends the folder of a topic's records that could not be typed. Persisted; never change.
const deadSuffix = "__dlq"

// Folder returns the folder of a topic's objects: its name. One that is long, or ends as the folders of
// the dead do, is cut and ended by a part of its SHA-256, so that no two folders are the same.
func Folder(topic string) string {
	if len(topic) <= folderBytesMax && !strings.HasSuffix(topic, deadSuffix) {
		return topic
	}
	return cut(topic, folderBytesMax)
}

// DeadFolder returns the folder of a topic's objects whose records could not be typed.
func DeadFolder(topic string) string {
	if bytesMax := folderBytesMax - len(deadSuffix); len(topic) > bytesMax {
		topic = cut(topic, bytesMax)
	}
	return topic + deadSuffix
}

func cut(topic string, bytesMax int) string {
	sum := sha256.Sum256([]byte(topic))
	tail := "-" + hex.EncodeToString(sum[:8])
	return topic[:min(len(topic), bytesMax-len(tail))] + tail
}

// Hour is an hour of UTC, in hours since 1970.
type Hour int64

// NoHour is the hour of records without a time that a warehouse can show.
const NoHour Hour = 0

const (
	hourMs       = int64(time.Hour / time.Millisecond)
	timestampMax = 253_402_300_799_999 // the end of the year 9999, ms
)

// HourOf returns the hour of a record's timestamp, in ms.
func HourOf(timestamp int64) Hour {
	if !hasTime(timestamp) {
		return NoHour
	}
	return Hour(timestamp / hourMs)
}

func hasTime(timestamp int64) bool { return timestamp >= 0 && timestamp <= timestampMax }

// Date returns the hour's day as YYYY-MM-DD and its hour of the day.
func (h Hour) Date() (date string, hour int) {
	t := time.UnixMilli(int64(h) * hourMs).UTC()
	return t.Format(time.DateOnly), t.Hour()
}

// ID is what tells an object of the archive from all others: its writer's term
// and number, which no other object of that term has.
type ID struct {
	Term, Number uint64
}

// Key returns the key of an object in a Folder or DeadFolder.
func Key(folder string, h Hour, partition int32, first, last int64, id ID) string {
	date, hour := h.Date()
	return fmt.Sprintf("%s%s/date=%s/hour=%02d/%d-%d-%d-%d-%d.parquet", Prefix, folder, date, hour, partition, first, last, id.Term, id.Number)
}

// ParseKey returns the id in an object's key. ok is false for keys that Key doesn't make.
func ParseKey(key string) (id ID, ok bool) {
	rest, isArchive := strings.CutPrefix(key, Prefix)
	name, isParquet := strings.CutSuffix(rest[strings.LastIndexByte(rest, '/')+1:], ".parquet")
	parts := strings.Split(name, "-")
	if !isArchive || !isParquet || len(parts) != 5 || strings.Count(rest, "/") != 3 {
		return ID{}, false
	}
	numbers := make([]uint64, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || strconv.FormatUint(n, 10) != p {
			return ID{}, false
		}
		numbers[i] = n
	}
	return ID{Term: numbers[3], Number: numbers[4]}, true
}
