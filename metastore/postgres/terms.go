package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/wadi-io/wadi/metastore"
)

const beginTermSQL = `select new_term, new_node, new_seat from wadi.begin_term($1, $2, $3, $4, $5, $6, $7, $8)
	where wadi.settled($9)`

// BeginTerm implements metastore.Store. Nodes and seats count from 1.
func (s *Store) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	info := metastore.TermInfo{Agent: agent, LeaseLeft: lease}
	for tries := 0; tries < 2; tries++ {
		known, sight, err := s.sighted(ctx)
		if err != nil {
			return metastore.TermInfo{}, err
		}
		var term int64
		err = s.terms.QueryRow(ctx, s.sql[beginTermSQL], agent.Process, agent.Zone, agent.KafkaHost, agent.KafkaPort,
			agent.Peer, int32(agent.Roles), agent.Level, lease, known).Scan(&term, &info.Node, &info.Seat)
		if errors.Is(err, pgx.ErrNoRows) {
			s.server.doubted(sight) // another one, which may not know of terms that have begun
			continue
		}
		if err != nil {
			return metastore.TermInfo{}, failed(ctx, s.terms, "begin a term", err)
		}
		info.Term = metastore.Term(term)
		return info, s.server.begun(sight, info.Term)
	}
	return metastore.TermInfo{}, errMoved
}

const renewTermSQL = `update wadi.terms set expires_at = clock_timestamp() + $2, settled = greatest(settled, $3)
	where term = $1 and ended_at is null and expires_at > clock_timestamp()`

// RenewTerm implements metastore.Store. The update leaves the row's keys alone, so
// it passes the lock that appends hold.
func (s *Store) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	done, err := s.terms.Exec(ctx, s.sql[renewTermSQL], int64(term), lease, int64(settled))
	if err != nil {
		return failed(ctx, s.terms, fmt.Sprintf("renew term %d", term), err)
	}
	if done.RowsAffected() == 0 {
		return metastore.ErrTermEnded
	}
	return nil
}

const drainTermSQL = `update wadi.terms set draining = true
	where term = $1 and ended_at is null and expires_at > clock_timestamp()`

// DrainTerm implements metastore.Store.
func (s *Store) DrainTerm(ctx context.Context, term metastore.Term) error {
	done, err := s.terms.Exec(ctx, s.sql[drainTermSQL], int64(term))
	if err != nil {
		return failed(ctx, s.terms, fmt.Sprintf("mark term %d as draining", term), err)
	}
	if done.RowsAffected() == 0 {
		return metastore.ErrTermEnded
	}
	return nil
}

const expireTermSQL = `update wadi.terms set expires_at = clock_timestamp()
	where term = $1 and ended_at is null and expires_at > clock_timestamp() and wadi.settled($2)`

const endTermSQL = `select wadi.end_term($1, $2) where wadi.settled($3)`

// EndTerm implements metastore.Store. It waits for appends of the term that are
// under way. By force it takes two statements: with the lease gone no append
// begins any more, while overlapping ones could keep a lone end_term waiting for ever.
func (s *Store) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	known, sight, err := s.sighted(ctx)
	if err != nil {
		return false, err
	}
	if force {
		if _, err := s.terms.Exec(ctx, s.sql[expireTermSQL], int64(term), known); err != nil {
			return false, failed(ctx, s.terms, fmt.Sprintf("expire term %d", term), err)
		}
		// The term can't append nor renew from here on; its node is held until it is ended.
	}
	var ended pgtype.Bool
	err = s.terms.QueryRow(ctx, s.sql[endTermSQL], int64(term), force, known).Scan(&ended)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		s.server.doubted(sight)
		return false, fmt.Errorf("end term %d: %w", term, errMoved)
	case err != nil:
		return false, failed(ctx, s.terms, fmt.Sprintf("end term %d", term), err)
	case !ended.Valid:
		return false, fmt.Errorf("term %d was never begun, or ended long ago", term)
	}
	return ended.Bool, nil
}

const termsSQL = `select term, node, seat, process, zone, kafka_host, kafka_port, peer, roles, level,
		settled, draining, ended_at is not null, expires_at - clock_timestamp()
	from wadi.terms where ended_at is null
	union all
	select term, node, seat, process, zone, kafka_host, kafka_port, peer, roles, level,
		settled, draining, ended_at is not null, expires_at - clock_timestamp()
	from wadi.terms where ended_at is not null and term = any ($1)
	order by 1`

// Terms implements metastore.Store.
func (s *Store) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	asked := make([]int64, len(ended))
	for i, t := range ended {
		asked[i] = int64(t)
	}
	rows, err := s.terms.Query(ctx, s.sql[termsSQL], asked)
	if err != nil {
		return nil, failed(ctx, s.terms, "list terms", err)
	}
	defer rows.Close()
	var infos []metastore.TermInfo
	for rows.Next() {
		var term, settled int64
		var roles int32
		var info metastore.TermInfo
		a := &info.Agent
		err := rows.Scan(&term, &info.Node, &info.Seat, &a.Process, &a.Zone, &a.KafkaHost, &a.KafkaPort, &a.Peer, &roles, &a.Level,
			&settled, &info.Draining, &info.Ended, &info.LeaseLeft)
		if err != nil {
			return nil, failed(ctx, s.terms, "list terms", err)
		}
		info.Term, info.Settled, a.Roles = metastore.Term(term), uint64(settled), metastore.Roles(roles)
		infos = append(infos, info)
	}
	if err := rows.Err(); err != nil {
		return nil, failed(ctx, s.terms, "list terms", err)
	}
	return infos, nil
}

const pruneTermsSQL = `select wadi.prune_terms($1, $2, $3)`

// PruneTerms implements metastore.Store.
func (s *Store) PruneTerms(ctx context.Context, age time.Duration, keep []metastore.Term, rowsMax int) (int, error) {
	kept := make([]int64, len(keep))
	for i, t := range keep {
		kept[i] = int64(t)
	}
	var pruned int
	if err := s.terms.QueryRow(ctx, s.sql[pruneTermsSQL], age, kept, rowsMax).Scan(&pruned); err != nil {
		return 0, failed(ctx, s.terms, "prune ended terms", err)
	}
	return pruned, nil
}

const nowSQL = `select clock_timestamp()`

// Now implements metastore.Store.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err := s.terms.QueryRow(ctx, s.sql[nowSQL]).Scan(&now); err != nil {
		return now, failed(ctx, s.terms, "read the clock", err)
	}
	return now, nil
}
