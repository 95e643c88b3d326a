package main

import "github.com/wadi-io/wadi/bench/simulation/faketime"

// transactionTable has those of transactions.
func transactionTable() []sabotage {
	return []sabotage{
		{name: "drop a marker", file: "agent/transaction/flight.go",
			old: "\t\tparts = append(parts, part{metastore.ShardJournal(m.Shard),",
			new: "\t\tif n := len(m.Marker.Partitions); n > 1 {\n\t\t\tm.Marker.Partitions = m.Marker.Partitions[:n-1]\n\t\t}\n\t\tparts = append(parts, part{metastore.ShardJournal(m.Shard),"},
		{name: "advance the last stable offset early", file: "metastore/shard/transaction.go",
			old: "return max(p.open[0].first, p.logStart)",
			new: "return max(p.open[len(p.open)-1].first+1, p.logStart)"},
		{name: "end the transaction of a newer epoch", file: "agent/transaction/end.go",
			old: "same := t.ProducerID == x.ProducerID && t.Epoch == x.Epoch",
			new: "same := t.ProducerID == x.ProducerID && t.Epoch >= x.Epoch"},
		{name: "take batches of an old epoch into a transaction", file: "agent/transaction/enter.go",
			old: "case t.Epoch != x.Epoch, t.Epoch > epochLast:",
			new: "case t.Epoch < x.Epoch, t.Epoch > epochLast:",
			also: []faketime.Edit{
				{File: "metastore/transaction/added.go", Old: "t.Epoch != x.Epoch || !x.stands(t)", New: "t.Epoch < x.Epoch || !x.stands(t)"},
				{File: "metastore/shard/producer.go", Old: "\tcase epoch == s.Epoch:\n\t\treturn", New: "\tcase epoch <= s.Epoch:\n\t\treturn"},
			}},
		{name: "commit offsets of an aborted transaction", file: "metastore/group/transaction.go",
			old: "\t\tif x.Commit {\n\t\t\tg.commitPending", new: "\t\tif true {\n\t\t\tg.commitPending"},
		{name: "drop offsets of a committed transaction", file: "metastore/group/transaction.go",
			old: "\t\tif x.Commit {\n\t\t\tg.commitPending", new: "\t\tif x.Commit && len(t.groups) > 1 {\n\t\t\tg.commitPending"},
		{name: "forget the groups at a transaction's end", file: "agent/transaction/flight.go",
			old: "for _, id := range t.Groups {", new: "for _, id := range t.Groups[:0] {"},
		{name: "read offsets before they are stable", file: "agent/broker/offset_fetch.go",
			old: "if stable && s.Unstable(req.Group, place) {", new: "if stable && s.Unstable(req.Group, place) && false {"},
		{name: "take batches after their transaction's end", file: "metastore/shard/flush.go",
			old: "b.Transaction != NoTransaction && b.Transaction <= state.ended()", new: "false"},
		{name: "leave out an aborted transaction", file: "metastore/shard/transaction.go",
			old: "\t\tif a.first < to {\n\t\t\tdst", new: "\t\tif a.first < to && a.first >= from {\n\t\t\tdst"},
		{name: "snapshots without aborted transactions", file: "metastore/shard/snapshot.go",
			old: "\tdst = binary.AppendUvarint(dst, uint64(len(p.aborted)))\n",
			new: "\tp = &partition{}\n\tdst = binary.AppendUvarint(dst, uint64(len(p.aborted)))\n"},
		{name: "answer a decision before it stands", file: "agent/transaction/lane.go",
			old: "\tlanded, err := l.c.deps.Writer.Append(ctx, f.list())\n",
			new: "\tfor _, s := range f.flying {\n\t\tif s.verdict.decision != nil && !s.request.own {\n\t\t\ts.request.done <- outcome{verdict: s.verdict, stood: true}\n\t\t}\n\t}\n\tlanded, err := l.c.deps.Writer.Append(ctx, f.list())\n"},
		{name: "finish nobody's decisions", file: "agent/transaction/sweep.go",
			old: "for _, id := range ids[:min(len(ids), sweepMax)] {", new: "for _, id := range ids[:0] {"},
		{name: "let no transaction time out", file: "agent/transaction/sweep.go",
			old: "for _, t := range late[:min(len(late), sweepMax)] {", new: "for _, t := range late[:0] {"},
	}
}
