package main

import (
	"slices"

	"github.com/wadi-io/wadi/bench/simulation/faketime"
)

// sabotage is a deliberate bug: in a file, old is replaced by new. The product knows
// nothing of it; the compiler is given the changed file in place of the real one.
type sabotage struct {
	name     string
	file     string
	old, new string
	also     []faketime.Edit // where one place is guarded by another
}

func (s sabotage) edits() []faketime.Edit {
	return append([]faketime.Edit{{File: s.file, Old: s.old, New: s.new}}, s.also...)
}

// table is the one list of sabotages.
func table() []sabotage {
	return slices.Concat(logTable(), transactionTable(), compactionTable())
}

// logTable has those of records, producers, journals and groups.
func logTable() []sabotage {
	return []sabotage{
		{name: "acknowledge what could not be uploaded", file: "agent/ingest/commit.go",
			old: "c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: err})\n}",
			new: "c.answer(it, Result{BaseOffset: c.logStart(it), LogAppendTime: -1, LogStart: -1})\n\t_ = err\n}"},
		{name: "commit before the upload has ended", file: "agent/ingest/commit.go",
			old: "if full || !f.isDone() || f.partitions.meets(&before) {",
			new: "if full || f.partitions.meets(&before) {"},
		{name: "answer a void batch as if it stood", file: "agent/ingest/commit.go",
			old: "if !stood[k].Stood {", new: "if false {"},
		{name: "refuse a void batch", file: "agent/ingest/commit.go",
			old: "\t\t\t\tc.void = append(c.void, it)\n", new: "\t\t\t\tc.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrOutOfOrder})\n"},
		{name: "answer 45 without the fence", file: "agent/ingest/decide.go",
			old: "\th.fence = f\n\tc.in.Stats.Fences.Add(1)\n\tc.fences = append(c.fences, h)",
			new: "\t_ = f\n\tc.drop(h)\n\tc.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrOutOfOrder})"},
		{name: "answer 45 at once for a gap", file: "agent/ingest/decide.go",
			old: "\tcase shard.Gap:\n\t\treturn false",
			new: "\tcase shard.Gap:\n\t\tres.Err = ErrOutOfOrder"},
		{name: "answer from what is not folded", file: "agent/ingest/decide.go",
			old: "\t\tp.blocked = true\n\t\tc.round[key] = p\n\t\tc.again = append(c.again, it)\n\t\treturn",
			new: "\t\tc.answer(it, Result{BaseOffset: c.logStart(it), LogAppendTime: -1, LogStart: -1})\n\t\treturn"},
		{name: "a definite error for what may be committed", file: "agent/ingest/ingest.go",
			old: "in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrUnknown})\n\t}\n}\n\n// Grew",
			new: "in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrPartitionClosed})\n\t}\n}\n\n// Grew"},
		{name: "forget the fifth batch", file: "metastore/shard/producer.go",
			old: "const windowBatches = 5", new: "const windowBatches = 1"},
		{name: "take any first sequence of an unknown producer", file: "metastore/shard/producer.go",
			old: "\tcase !s.Known || epoch > s.Epoch:\n\t\treturn first == 0",
			new: "\tcase !s.Known:\n\t\treturn true\n\tcase epoch > s.Epoch:\n\t\treturn first == 0"},
		{name: "ignore the guard on sequences", file: "metastore/shard/producer.go",
			old: "return !s.Closed && first == NextSequence(s.Last)", new: "return !s.Closed"},
		{name: "take batches of a lower epoch", file: "metastore/shard/producer.go",
			old: "\tcase epoch == s.Epoch:\n\t\treturn", new: "\tcase epoch <= s.Epoch:\n\t\treturn"},
		{name: "apply an entry twice", file: "metastore/fold.go",
			old: "\tcase h.Number <= last:\n\t\tf.version = version\n\t\tres.Void = true\n\t\treturn res, nil\n\tcase h.Number != last+1:",
			new: "\tcase h.Number > last+1:"},
		{name: "append under a new number after an unknown outcome", file: "metastore/writer.go",
			old: "\t\tw.trouble.Meet(err)",
			new: "\t\tfor i, p := range parts {\n\t\t\th, effects, _ := ParseEntry(p.Payload)\n\t\t\tif r := w.follower.replicas[p.Journal]; w.follower.Refresh(ctx, p.Journal) == nil {\n\t\t\t\tr.mu.Lock()\n\t\t\t\th.Number = r.mu.fold.numbers[w.term] + 1\n\t\t\t\tr.mu.own = &ownEntry{term: w.term, number: h.Number}\n\t\t\t\tr.mu.Unlock()\n\t\t\t\tparts[i].Payload = append(AppendHeader(nil, h), effects.rest...)\n\t\t\t}\n\t\t}\n\t\tw.trouble.Meet(err)"},
		{name: "take an unknown outcome for a failure", file: "metastore/writer.go",
			old: "\t\tw.trouble.Meet(err)",
			new: "\t\tif attempt >= 0 {\n\t\t\treturn nil, &StrictLostError{Journal: parts[0].Journal}\n\t\t}\n\t\tw.trouble.Meet(err)"},
		{name: "end a term without the lock", file: "metastore/reaper.go",
			old: "ended, err := p.store.EndTerm(ctx, info.Term, false)", new: "ended, err := true, error(nil)"},
		{name: "forget a term's number on hearsay", file: "metastore/reaper.go",
			old: "dead[info.Term] = info.Ended\n", new: "dead[info.Term] = info.Ended || info.LeaseLeft < 3*time.Second\n"},
		{name: "a dead term's append is taken", file: "metastore/memory/terms.go",
			old: "held == nil || held.ended || !held.expires.After(s.clock())", new: "held == nil"},
		{name: "out of range without a look", file: "agent/fetch/plan.go",
			old: "\tif p.doubt && fresh {\n\t\tp.doubt = false\n", new: "\tif p.doubt {\n\t\tp.doubt = false\n"},
		{name: "list offsets without a look", file: "agent/fetch/offsets.go",
			old: "err := f.refresh(ctx, journals)", new: "err := error(nil)"},
		{name: "serve what was read without a check", file: "agent/fetch/verify.go",
			old: "if crc != h.CRC {", new: "if false {"},
		{name: "begin to read one extent late", file: "metastore/shard/partition.go",
			old: "for i := max(0, p.extents.find(offset)); i < len(p.extents); i++ {\n\t\te :=",
			new: "i := max(0, p.extents.find(offset))\n\tif i > 0 && i%16 == 15 && i+1 < len(p.extents) {\n\t\ti++\n\t}\n\tfor ; i < len(p.extents); i++ {\n\t\te :="},
		{name: "commit under any generation", file: "metastore/group/commit.go",
			old: "return g.written() == c.expect", new: "return true"},
		{name: "answer a commit before it is appended", file: "agent/group/committer.go",
			old: "\tlanded, err := c.writer.Append(ctx, drafts)\n",
			new: "\tgo c.writer.Append(context.WithoutCancel(ctx), drafts)\n\tlanded, err := &metastore.Landed{}, error(nil)\n\tfor _, e := range entries {\n\t\tlanded.Parts = append(landed.Parts, metastore.Result{Outcomes: make([]any, len(e.jobs))})\n\t\tfor k := range e.jobs {\n\t\t\tlanded.Parts[len(landed.Parts)-1].Outcomes[k] = true\n\t\t}\n\t}\n"},
		{name: "snapshots without producers", file: "metastore/shard/snapshot.go",
			old: "p.producers = append(p.producers, producerSlot{id, state})", new: "_ = state"},
		{name: "put other bytes under a key", file: "agent/ingest/flush.go",
			old: "\t\t\t\tnumber++\n", new: "\t\t\t\tif number == 0 || number%8 != 0 || len(slots) == 0 {\n\t\t\t\t\tnumber++\n\t\t\t\t}\n",
			also: []faketime.Edit{
				{File: "agent/bucket/retry.go", Old: "\tcase !same:\n\t\treturn fmt.Errorf(\"put %s: %w\", key, ErrConflict)\n", New: "\tcase !same:\n\t\treturn nil\n"},
			}},
		{name: "fold a pushed entry over a gap", file: "metastore/replica.go",
			old: "\tif version > r.mu.fold.version+1 {\n\t\tif hold {",
			new: "\tif version > r.mu.fold.version+1 && !hold {\n\t\tif hold {"},
	}
}
