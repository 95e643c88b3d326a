package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

const lastTermSQL = `select coalesce(max(term), 0) from terms`

// The lowest free node is 1, or follows one that is held: by a term that has not ended,
// or until NodeHeldFor after its end against agents at other addresses.
const nodesSQL = `with held as materialized (select node from terms indexed by terms_node where ended_at is null
		union select node from terms indexed by terms_ended where ended_at > ? and kafka_host <> '' and (kafka_host <> ? or kafka_port <> ?))
	select min(free) from (select 1 as free union all select node + 1 from held) where free not in (select node from held)`

// So it is with seats, of one zone and one set of roles.
const seatsSQL = `select min(free) from (select 1 as free union all
		select seat + 1 from terms where ended_at is null and seat > 0 and zone = ? and roles = ?)
	where free not in (select seat from terms where ended_at is null and seat > 0 and zone = ? and roles = ?)`

const beginTermSQL = `insert into terms (term, node, seat, process, zone, kafka_host, kafka_port, peer, roles, level, begun_at, expires_at)
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// BeginTerm implements metastore.Store. Nodes and seats count from 1.
func (s *Store) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	info := metastore.TermInfo{Agent: agent, LeaseLeft: lease}
	err := s.write(ctx, "begin a term", func(tx *writeTx) error {
		var last metastore.Term
		if err := tx.row(lastTermSQL).Scan(&last); err != nil {
			return fmt.Errorf("find the last term: %w", err)
		}
		if err := tx.row(nodesSQL, tx.now-metastore.NodeHeldFor.Microseconds(), agent.KafkaHost, agent.KafkaPort).Scan(&info.Node); err != nil {
			return fmt.Errorf("find a free node: %w", err)
		}
		if err := tx.row(seatsSQL, agent.Zone, agent.Roles, agent.Zone, agent.Roles).Scan(&info.Seat); err != nil {
			return fmt.Errorf("find a free seat: %w", err)
		}
		info.Term = last + 1
		_, err := tx.exec(beginTermSQL, info.Term, info.Node, info.Seat, agent.Process, agent.Zone, agent.KafkaHost, agent.KafkaPort,
			agent.Peer, agent.Roles, agent.Level, tx.now, tx.now+lease.Microseconds())
		if err != nil {
			return fmt.Errorf("begin term %d: %w", info.Term, err)
		}
		return nil
	})
	if err != nil {
		return metastore.TermInfo{}, err
	}
	return info, nil
}

const renewTermSQL = `update terms set expires_at = ?, settled = max(settled, ?) where term = ? and ended_at is null and expires_at > ?`

// RenewTerm implements metastore.Store. With one writer it waits for the append
// under way, which takes one sync.
func (s *Store) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	what := fmt.Sprintf("renew term %d", term)
	return s.write(ctx, what, func(tx *writeTx) error {
		renewed, err := tx.exec(renewTermSQL, tx.now+lease.Microseconds(), int64(settled), term, tx.now)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if renewed == 0 {
			return metastore.ErrTermEnded
		}
		return nil
	})
}

const drainTermSQL = `update terms set draining = 1 where term = ? and ended_at is null and expires_at > ?`

// DrainTerm implements metastore.Store.
func (s *Store) DrainTerm(ctx context.Context, term metastore.Term) error {
	what := fmt.Sprintf("mark term %d as draining", term)
	return s.write(ctx, what, func(tx *writeTx) error {
		marked, err := tx.exec(drainTermSQL, term, tx.now)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if marked == 0 {
			return metastore.ErrTermEnded
		}
		return nil
	})
}

const heldSQL = `select expires_at, ended_at is not null from terms where term = ?`

const endTermSQL = `update terms set ended_at = ? where term = ?`

// EndTerm implements metastore.Store.
func (s *Store) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	var ended bool
	what := fmt.Sprintf("end term %d", term)
	err := s.write(ctx, what, func(tx *writeTx) error {
		var expires int64
		err := tx.row(heldSQL, term).Scan(&expires, &ended)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("term %d was never begun, or ended long ago", term)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ended || !force && expires > tx.now {
			return nil
		}
		ended = true
		if _, err := tx.exec(endTermSQL, tx.now, term); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return ended, nil
}

// Ended terms are many in the long run: the partial index names the others.
const termsSQL = `select term, node, seat, process, zone, kafka_host, kafka_port, peer, roles, level, settled, draining, expires_at, 0
	from terms indexed by terms_node where ended_at is null
	union all
	select term, node, seat, process, zone, kafka_host, kafka_port, peer, roles, level, settled, draining, expires_at, 1 from terms
	where ended_at is not null and term in (select value from json_each(?))
	order by 1`

// Terms implements metastore.Store.
func (s *Store) Terms(ctx context.Context, ended ...metastore.Term) ([]metastore.TermInfo, error) {
	asked, err := json.Marshal(ended)
	if err != nil {
		return nil, err
	}
	rows, err := s.statements[termsSQL].QueryContext(ctx, string(asked))
	if err != nil {
		return nil, fmt.Errorf("list terms: %w", err)
	}
	defer rows.Close()
	now := s.clock().UnixMicro()
	var infos []metastore.TermInfo
	for rows.Next() {
		var info metastore.TermInfo
		var expires int64
		a := &info.Agent
		err := rows.Scan(&info.Term, &info.Node, &info.Seat, &a.Process, &a.Zone, &a.KafkaHost, &a.KafkaPort, &a.Peer, &a.Roles, &a.Level,
			&info.Settled, &info.Draining, &expires, &info.Ended)
		if err != nil {
			return nil, fmt.Errorf("list terms: %w", err)
		}
		info.LeaseLeft = time.Duration(expires-now) * time.Microsecond
		infos = append(infos, info)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list terms: %w", err)
	}
	return infos, nil
}

// Kept terms and the newest one are few, so the primary key leads to the oldest others at once.
const pruneTermsSQL = `delete from terms where term in (select term from terms
	where ended_at <= ? and term not in (select value from json_each(?))
		and term < (select max(term) from terms)
	order by term limit ?)`

// PruneTerms implements metastore.Store.
func (s *Store) PruneTerms(ctx context.Context, age time.Duration, keep []metastore.Term, rowsMax int) (int, error) {
	kept, err := json.Marshal(append([]metastore.Term{}, keep...))
	if err != nil {
		return 0, err
	}
	var pruned int64
	err = s.write(ctx, "prune ended terms", func(tx *writeTx) (err error) {
		if pruned, err = tx.exec(pruneTermsSQL, tx.now-age.Microseconds(), string(kept), max(rowsMax, 0)); err != nil {
			return fmt.Errorf("prune ended terms: %w", err)
		}
		return nil
	})
	return int(pruned), err
}

// Now implements metastore.Store.
func (s *Store) Now(context.Context) (time.Time, error) { return s.clock(), nil }
