package compaction

// workspace is the memory that jobs work in, one after the other: so they leave little to the collector, whose
// cycles are what producers would notice of them. It goes when the shards have been looked at, and a kind of jobs
// leaves none to the other.
type workspace struct {
	source []byte // what a job has read, until the next one reads
	output []byte // what it writes
	piece  []byte // of an output that is read back
	// Of the archive only:
	isArchive bool
	archive   archiveSpace
}

// forArchive makes the memory that of the archive.
func (m *workspace) forArchive() {
	if !m.isArchive {
		*m = workspace{piece: m.piece, isArchive: true}
	}
}

// forMerging makes the memory that of merging and key compaction.
func (m *workspace) forMerging() {
	if m.isArchive {
		*m = workspace{piece: m.piece}
	}
}

// room returns n bytes of some memory, which grows if need be.
func room(memory *[]byte, n int64) []byte {
	if int64(cap(*memory)) < n {
		*memory = nil // before there is more
		*memory = make([]byte, n)
	}
	return (*memory)[:n]
}
