package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

// routine is what an append's expects holds for a part that is not strict.
const routine = -1

// The last column tells whether the server is the one that this process has confirmed.
const appendSQL = `select outcome, versions, lost_journal, lost_head, wadi.settled($5)
	from wadi.append($1, $2, $3, $4)`

// Append implements metastore.Store. It waits for the appends that hold its
// journals, and has no deadline of its own.
func (s *Store) Append(ctx context.Context, term metastore.Term, parts []metastore.AppendPart) ([]metastore.Version, error) {
	if err := s.cluster.CheckParts(parts); err != nil {
		return nil, err
	}
	return s.append(ctx, fmt.Sprintf("append to %d journals", len(parts)), appendSQL, appendArgs(term, parts))
}

// appendArgs are the arguments of append.
func appendArgs(term metastore.Term, parts []metastore.AppendPart) []any {
	journals := make([]int32, len(parts))
	payloads := make([][]byte, len(parts))
	expects := make([]int64, len(parts))
	for i, p := range parts {
		journals[i], payloads[i], expects[i] = int32(p.Journal), p.Payload, routine
		if p.Strict {
			expects[i] = int64(p.Expect)
		}
	}
	return []any{int64(term), journals, payloads, expects}
}

// append runs append or append_rows.
func (s *Store) append(ctx context.Context, what, statement string, args []any) ([]metastore.Version, error) {
	journals := args[1].([]int32)
	if err := s.server.diverged(journals); err != nil {
		return nil, err
	}
	var outcome string
	var assigned []int64
	var lostJournal pgtype.Int4
	var lostHead pgtype.Int8
	var settled bool
	send := func() error {
		return s.pool.QueryRow(ctx, s.sql[statement], append(slices.Clip(args), s.server.known())...).
			Scan(&outcome, &assigned, &lostJournal, &lostHead, &settled)
	}
	err := send()
	if err == nil && outcome == "moved" {
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
		err = send()
	}
	if err != nil {
		return nil, failed(ctx, s.pool, what, err)
	}
	switch outcome {
	case "moved":
		return nil, errMovedAgain
	case "tail lost":
		return nil, &metastore.LostTailError{
			Journal: metastore.JournalID(lostJournal.Int32), Head: metastore.Version(assigned[0]), Seen: metastore.Version(assigned[1]),
		}
	case "ended":
		return nil, metastore.ErrTermEnded
	case "lost":
		return nil, &metastore.StrictLostError{
			Journal: metastore.JournalID(lostJournal.Int32), Head: metastore.Version(lostHead.Int64),
		}
	}
	// Committed: the entries are in the journals for good, whether or not we live to say so.
	versions := make([]metastore.Version, len(assigned))
	for i, v := range assigned {
		versions[i] = metastore.Version(v)
		// On a server that the others have confirmed, and this process not yet, it is no
		// evidence of what that server lacks. The next read confirms it and sees the head.
		if settled {
			s.server.saw(metastore.JournalID(journals[i]), versions[i])
		}
	}
	return versions, nil
}
