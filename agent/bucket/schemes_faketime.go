//go:build faketime

package bucket

// schemes is the one table of what a bucket's URL may begin with, where there are
// no clouds: bench/simulation builds agents with this tag.
func schemes() []scheme { return []scheme{{"file", openFile}, {"mem", openMem}} }
