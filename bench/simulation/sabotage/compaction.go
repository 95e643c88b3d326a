package main

// compactionTable has those of compaction.
func compactionTable() []sabotage {
	return []sabotage{}
}
