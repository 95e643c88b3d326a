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
}

func (s sabotage) edits() []faketime.Edit {
	return []faketime.Edit{{File: s.file, Old: s.old, New: s.new}}
}

// table is the one list of sabotages.
func table() []sabotage {
	return slices.Concat(logTable(), transactionTable(), compactionTable())
}

// logTable has those of records, producers, journals and groups.
func logTable() []sabotage {
	return []sabotage{
		{"acknowledge what could not be uploaded", "agent/ingest/commit.go",
			"c.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: err})\n}",
			"c.answer(it, Result{BaseOffset: c.logStart(it), LogAppendTime: -1, LogStart: -1})\n\t_ = err\n}"},
		{"commit before the upload has ended", "agent/ingest/commit.go",
			"\t\tcase <-f.done:\n\t\tdefault:\n\t\t\treturn c.append(ctx)\n",
			"\t\tcase <-f.done:\n\t\tdefault:\n"},
		{"answer a void batch as if it stood", "agent/ingest/commit.go",
			"if !stood[k].Stood {", "if false {"},
		{"drop void batches' order", "agent/ingest/commit.go",
			"\tslices.Reverse(again)\n\tc.again = append(again, c.again...)",
			"\tc.again = append(c.again, again...)"},
		{"answer 45 without the fence", "agent/ingest/decide.go",
			"\th.fence = f\n\tc.in.Stats.Fences.Add(1)\n\tc.fences = append(c.fences, h)",
			"\t_ = f\n\tc.drop(h)\n\tc.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, Err: ErrOutOfOrder})"},
		{"answer 45 at once for a gap", "agent/ingest/decide.go",
			"\tcase shard.Gap:\n\t\treturn false",
			"\tcase shard.Gap:\n\t\tres.Err = ErrOutOfOrder"},
		{"answer from what is not folded", "agent/ingest/decide.go",
			"\t\tp.blocked = true\n\t\tc.round[key] = p\n\t\tc.again = append(c.again, it)\n\t\treturn",
			"\t\tc.answer(it, Result{BaseOffset: c.logStart(it), LogAppendTime: -1, LogStart: -1})\n\t\treturn"},
		{"a definite error for what may be committed", "agent/ingest/ingest.go",
			"in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrUnknown})\n\t}\n}\n\n// Grew",
			"in.answer(it, Result{BaseOffset: -1, LogAppendTime: -1, Err: ErrPartitionClosed})\n\t}\n}\n\n// Grew"},
		{"forget the fifth batch", "metastore/shard/producer.go",
			"const windowBatches = 5", "const windowBatches = 1"},
		{"take any first sequence of an unknown producer", "metastore/shard/producer.go",
			"\tcase !s.Known || epoch > s.Epoch:\n\t\treturn first == 0",
			"\tcase !s.Known:\n\t\treturn true\n\tcase epoch > s.Epoch:\n\t\treturn first == 0"},
		{"ignore the guard on sequences", "metastore/shard/producer.go",
			"return !s.Closed && first == NextSequence(s.Last)", "return !s.Closed"},
		{"take batches of a lower epoch", "metastore/shard/producer.go",
			"\tcase epoch == s.Epoch:\n\t\treturn", "\tcase epoch <= s.Epoch:\n\t\treturn"},
		{"apply an entry twice", "metastore/fold.go",
			"\tcase h.Number <= last:\n\t\tf.version = version\n\t\tres.Void = true\n\t\treturn res, nil\n\tcase h.Number != last+1:",
			"\tcase h.Number > last+1:"},
		{"append under a new number after an unknown outcome", "metastore/writer.go",
			"\t\tw.trouble.Meet(err)",
			"\t\tfor i, p := range parts {\n\t\t\th, effects, _ := ParseEntry(p.Payload)\n\t\t\tif r := w.follower.replicas[p.Journal]; w.follower.Refresh(ctx, p.Journal) == nil {\n\t\t\t\tr.mu.Lock()\n\t\t\t\th.Number = r.mu.fold.numbers[w.term] + 1\n\t\t\t\tr.mu.own = &ownEntry{term: w.term, number: h.Number}\n\t\t\t\tr.mu.Unlock()\n\t\t\t\tparts[i].Payload = append(AppendHeader(nil, h), effects...)\n\t\t\t}\n\t\t}\n\t\tw.trouble.Meet(err)"},
		{"take an unknown outcome for a failure", "metastore/writer.go",
			"\t\tw.trouble.Meet(err)",
			"\t\tif attempt >= 0 {\n\t\t\treturn nil, &StrictLostError{Journal: parts[0].Journal}\n\t\t}\n\t\tw.trouble.Meet(err)"},
		{"end a term without the lock", "metastore/reaper.go",
			"ended, err := p.store.EndTerm(ctx, info.Term, false)", "ended, err := true, error(nil)"},
		{"forget a term's number on hearsay", "metastore/reaper.go",
			"dead[info.Term] = info.Ended\n", "dead[info.Term] = info.Ended || info.LeaseLeft < 3*time.Second\n"},
		{"a dead term's append is taken", "metastore/memory/terms.go",
			"held == nil || held.ended || !held.expires.After(s.clock())", "held == nil"},
		{"serve a stale high watermark", "agent/fetch/plan.go",
			"if uint64(v) < last {", "if false {"},
		{"out of range without a look", "agent/fetch/plan.go",
			"\tif p.doubt && fresh {\n\t\tp.doubt = false\n", "\tif p.doubt {\n\t\tp.doubt = false\n"},
		{"list offsets without a look", "agent/fetch/offsets.go",
			"err := f.refresh(ctx, journals)", "err := error(nil)"},
		{"serve what was read without a check", "agent/fetch/verify.go",
			"if crc != h.CRC {", "if false {"},
		{"begin to read one extent late", "metastore/shard/partition.go",
			"for i := max(0, p.extents.find(offset)); i < len(p.extents); i++ {\n\t\te :=",
			"i := max(0, p.extents.find(offset))\n\tif i > 0 && i%16 == 15 && i+1 < len(p.extents) {\n\t\ti++\n\t}\n\tfor ; i < len(p.extents); i++ {\n\t\te :="},
		{"commit under any generation", "metastore/group/commit.go",
			"return g.written() == c.expect", "return true"},
		{"answer a commit before it is appended", "agent/group/committer.go",
			"\tlanded, err := c.writer.Append(ctx, drafts)\n",
			"\tgo c.writer.Append(context.WithoutCancel(ctx), drafts)\n\tlanded, err := &metastore.Landed{}, error(nil)\n\tfor _, e := range entries {\n\t\tlanded.Parts = append(landed.Parts, metastore.Result{Outcomes: make([]any, len(e.jobs))})\n\t\tfor k := range e.jobs {\n\t\t\tlanded.Parts[len(landed.Parts)-1].Outcomes[k] = true\n\t\t}\n\t}\n"},
		{"snapshots without producers", "metastore/shard/snapshot.go",
			"p.producers = append(p.producers, producerSlot{id, state})", "_ = state"},
		{"other bytes under a key that was put", "agent/bucket/retry.go",
			"\tcase !same:\n\t\treturn fmt.Errorf(\"put %s: %w\", key, ErrConflict)\n",
			"\tcase !same:\n\t\treturn nil\n"},
		{"number segments by luck", "agent/ingest/flush.go",
			"\t\t\t\tnumber++\n", "\t\t\t\tif number == 0 || number%8 != 0 || len(slots) == 0 {\n\t\t\t\t\tnumber++\n\t\t\t\t}\n"},
		{"fold a pushed entry over a gap", "metastore/replica.go",
			"\tif version > r.mu.fold.version+1 {\n\t\tif hold {",
			"\tif version > r.mu.fold.version+1 && !hold {\n\t\tif hold {"},
	}
}
