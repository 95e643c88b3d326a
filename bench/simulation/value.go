package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// keysMax is how many keys a partition of a compacted topic has.
const keysMax = 6

// idHeader is the header that has the text of a record without a value.
const idHeader = "id"

// tombstone ends the texts of records without values.
const tombstone = "†"

// valueFor makes of a name the text of a record. One for a compacted topic says its key, and whether
// it is a tombstone: so the history alone tells what may be removed.
func valueFor(p partition, name string, r *rand.Rand) string {
	if p.cleanup() != byKey {
		return name
	}
	text := fmt.Sprintf("%s=%d", name, r.IntN(keysMax))
	if r.IntN(8) == 0 {
		text += tombstone
	}
	return text
}

// keyOf returns the key that a text names, and whether it is a tombstone's.
func keyOf(text string) (key string, dead bool) {
	if _, key, ok := strings.Cut(text, "="); ok {
		return strings.CutSuffix(key, tombstone)
	}
	return "", false
}

// recordFor is the record that has a text.
func recordFor(p partition, text string) *kgo.Record {
	rec := &kgo.Record{Topic: p.topic, Partition: p.index, Value: []byte(text)}
	key, dead := keyOf(text)
	if key != "" {
		rec.Key = []byte(key)
	}
	if dead {
		rec.Value = nil
		rec.Headers = []kgo.RecordHeader{{Key: idHeader, Value: []byte(text)}}
	}
	return rec
}

// textOf is the text that a record has.
func textOf(rec *kgo.Record) string {
	for _, h := range rec.Headers {
		if h.Key == idHeader && rec.Value == nil {
			return string(h.Value)
		}
	}
	return string(rec.Value)
}
