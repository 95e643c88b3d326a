package main

import "github.com/wadi-io/wadi/bench/simulation/faketime"

// compactionTable has those of merging, key compaction, retention and collection.
func compactionTable() []sabotage {
	return []sabotage{
		{name: "swap without comparing", file: "metastore/shard/swap.go",
			old: "p.merged.To != w.Expected || w.To > p.lastStable()", new: "w.To > p.lastStable()",
			also: []faketime.Edit{
				{File: "metastore/memory/tables.go", Old: "\t\tcase taken,\n\t\t\ti > 0 &&", New: "\t\tcase taken:\n\t\t\tcontinue\n\t\tcase i < 0,\n\t\t\ti < 0 &&"},
			}},
		{name: "merge over an open transaction", file: "metastore/shard/swap.go",
			old: "p.merged.To != w.Expected || w.To > p.lastStable()", new: "p.merged.To != w.Expected",
			also: []faketime.Edit{
				{File: "metastore/shard/swap.go", Old: "LastStable: p.lastStable(),", New: "LastStable: p.highWatermark,"},
			}},
		{name: "merge without the aborted transactions", file: "compaction/plan.go",
			old: "range s.Aborted(h.ID, w.from, w.to, nil) {", new: "range s.Aborted(h.ID, w.from, w.from, nil) {"},
		{name: "merge without markers", file: "compaction/read.go",
			old: "\t\t\tw.keep(e.BaseOffset, e.End(), e.AppendControl(nil))\n", new: ""},
		{name: "merge what may be damaged", file: "compaction/read.go",
			old: "\t\t\th, err := batch.Verify(rest)\n\t\t\tif err == nil {", new: "\t\t\th, err := batch.Parse(rest)\n\t\t\tif err == nil {"},
		{name: "drop the newest of a key", file: "compaction/filter.go",
			old: "case f.keys.offset(r.Key) > r.Offset:", new: "case f.keys.offset(r.Key) >= r.Offset && f.keys.offset(r.Key)%8 == 0:"},
		{name: "let aborted records take the place of others", file: "compaction/clean.go",
			old: "if h.Control() || aborted.holdsAt(&h, b.base) {", new: "_ = aborted\n\t\tif h.Control() {"},
		{name: "clean from the dirty rows on", file: "compaction/clean.go",
			old: "p.building, p.at = false, 0", new: "p.building, p.at = false, p.from"},
		{name: "expire at half the age", file: "compaction/retention.go",
			old: "cutoff = now.Add(-p.policy.Retention).UnixMilli()", new: "cutoff = now.Add(-p.policy.Retention / 2).UnixMilli()"},
		{name: "remove rows that the log start cuts", file: "compaction/remove.go",
			old: "if rows[k].End > p.logStart {", new: "if rows[k].Base >= p.logStart {"},
		{name: "collect before the grace", file: "compaction/collect.go",
			old: "c.deps.Store.Retired(ctx, c.cfg.Grace, deletesAtOnce)", new: "c.deps.Store.Retired(ctx, 0, deletesAtOnce)"},
		{name: "collect what live terms write", file: "compaction/collect.go",
			old: "id.Number <= n.settled[metastore.Term(id.Term)]:", new: "id.Number > 0:"},
	}
}
