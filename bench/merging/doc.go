// Package merging proves that the read path answers the same before and after
// compaction: the real fetcher and the real merges over one bucket and metastore in memory.
//
// It has tests only; package measure, one folder down, has the commands whose figures are in the README.
package merging
