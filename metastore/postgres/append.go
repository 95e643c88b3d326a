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

// append runs append or append_rows. Versions that it returns were assigned by the
// server that Origin named when it began.
func (s *Store) append(ctx context.Context, what, statement string, args []any) ([]metastore.Version, error) {
	journals := args[1].([]int32)
	known, sight, err := s.sighted(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.server.diverged(journals); err != nil {
		return nil, err
	}
	var outcome string
	var assigned []int64
	var lostJournal pgtype.Int4
	var lostHead pgtype.Int8
	var settled bool
	err = s.pool.QueryRow(ctx, s.sql[statement], append(slices.Clip(args), known)...).
		Scan(&outcome, &assigned, &lostJournal, &lostHead, &settled)
	if err != nil {
		return nil, failed(ctx, s.pool, what, err)
	}
	if !settled {
		// Another server than before: whatever was appended there, by agents that have
		// confirmed it, is found there by the next try.
		s.server.doubted(sight)
		if err := s.confirm(ctx); err != nil {
			return nil, err
		}
		return nil, errMoved
	}
	switch outcome {
	case "moved":
		return nil, errMoved
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
	}
	if err := s.server.appended(sight, journals, versions); err != nil {
		return nil, err
	}
	return versions, nil
}
