package segment

// Builder writes one segment into one buffer. The zero Builder is ready; it may
// be reused, which spares its allocations. It is not safe for concurrent use.
type Builder struct {
	dst []byte
}

// SizeHint returns a size that the segment will not pass: allocate dst with it.
func SizeHint(dataBytes, batches, runs, fates int) int { return 0 }

// Begin starts a segment in dst[:0].
func (b *Builder) Begin(dst []byte, info Info) {}

// Add copies one whole batch to the end and returns its position in the segment.
func (b *Builder) Add(shard int, topic [16]byte, partition int32, batch []byte) (position int64) {
	return 0
}

// Finish completes the segment and returns it.
func (b *Builder) Finish() []byte { return b.dst }
