package bucket

// schemes is the one table of what a bucket's URL may begin with, where there are
// no clouds: bench/simulation builds agents for wasip1.
func schemes() []scheme { return []scheme{{"file", openFile}, {"mem", openMem}} }
