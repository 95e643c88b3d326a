package catalog

import (
	"encoding/binary"
	"fmt"

	"github.com/wadi-io/wadi/metastore"
)

// levelMax bounds a feature level; more is corrupt.
const levelMax = 1 << 16

// AppendFeatureLevel appends the effect that raises the cluster's feature level. Whoever
// writes it has seen that every live agent reads entries of the level. It panics
// on a level that this release doesn't know.
func AppendFeatureLevel(dst []byte, level int32) []byte {
	if level <= metastore.LevelFirst || level > metastore.FeatureLevel {
		panic(fmt.Sprintf("feature level %d is raised by a release of level %d", level, metastore.FeatureLevel))
	}
	return metastore.AppendEffect(dst, metastore.EffectFeatureLevel, binary.AppendUvarint(nil, uint64(level)))
}

// decodeLevel reads a level above the first.
func decodeLevel(d *metastore.Decoder) int32 {
	level := d.Uvarint()
	if d.Err == nil && (level <= uint64(metastore.LevelFirst) || level > levelMax) {
		d.Fail("feature level out of range")
	}
	return int32(level)
}

// applyLevel raises the level; one that isn't above it changes nothing. A level that this
// release doesn't know is kept as well: its agent has to see it to know that it is too old.
func (s *State) applyLevel(d *metastore.Decoder) error {
	level := decodeLevel(d)
	if err := atEnd(d); err != nil {
		return err
	}
	s.level = max(s.level, level)
	return nil
}

// Level is the cluster's feature level: that of the newest entries which may be written.
func (s *State) Level() int32 { return s.level }

// Level returns the feature level that a replica of the catalog has.
func Level(replica *metastore.Replica) int32 {
	level := metastore.LevelFirst
	metastore.View(replica, func(s *State) { level = s.Level() })
	return level
}
