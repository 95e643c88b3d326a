// Package catalog is the state machine of the catalog's journal: topics, their
// configs, those of groups, the numbers given to topics and producers, and the cluster's feature level.
//
// It does: fold the creation, change and deletion of topics and the assignment of
// producer ids, and answer from that state.
//
// It does not: validate names or configs as Kafka does (the broker does that before
// it writes), know of offsets (a topic's partitions live in the shards), or decide anything.
//
// Invariants:
//   - The catalog is written strictly: its writer has seen the state that its effect
//     meets. So an effect that does not fit the state is a bug, never void.
//   - Topic numbers and producer ids rise and are never given twice. Names and ids
//     of topics are unique.
//   - A *Topic is immutable once it is in a State; a change puts another in its place.
//     So readers may keep what they got.
//   - Reading methods may run side by side.
//
// On failure: Apply returns an error for corrupt bytes and for effects that don't
// fit; the state is then undefined and the journal stops. Restore returns an error and leaves
// the state as it was.
//
// Start reading at State, then topic.go, group_config.go and level.go.
package catalog
