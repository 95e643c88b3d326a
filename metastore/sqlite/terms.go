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

// The lowest free node is 1, or follows one that is held.
const nodesSQL = `select min(free) from (select 1 as free union all select node + 1 from terms where ended_at is null)
	where free not in (select node from terms where ended_at is null)`

const beginTermSQL = `insert into terms (term, node, process, zone, kafka_host, kafka_port, begun_at, expires_at)
	values (?, ?, ?, ?, ?, ?, ?, ?)`

// BeginTerm implements metastore.Store. Nodes count from 1.
func (s *Store) BeginTerm(ctx context.Context, agent metastore.AgentInfo, lease time.Duration) (metastore.TermInfo, error) {
	info := metastore.TermInfo{Agent: agent, LeaseLeft: lease}
	err := s.write(ctx, "begin a term", func(tx *writeTx) error {
		var last metastore.Term
		if err := tx.row(lastTermSQL).Scan(&last); err != nil {
			return fmt.Errorf("find the last term: %w", err)
		}
		if err := tx.row(nodesSQL).Scan(&info.Node); err != nil {
			return fmt.Errorf("find a free node: %w", err)
		}
		info.Term = last + 1
		_, err := tx.exec(beginTermSQL, info.Term, info.Node, agent.Process, agent.Zone, agent.KafkaHost, agent.KafkaPort,
			tx.now, tx.now+lease.Microseconds())
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

const renewTermSQL = `update terms set expires_at = ? where term = ? and ended_at is null and expires_at > ?`

// RenewTerm implements metastore.Store. With one writer it waits for the append
// under way, which takes one sync.
func (s *Store) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration) error {
	what := fmt.Sprintf("renew term %d", term)
	return s.write(ctx, what, func(tx *writeTx) error {
		renewed, err := tx.exec(renewTermSQL, tx.now+lease.Microseconds(), term, tx.now)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if renewed == 0 {
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
			return fmt.Errorf("term %d was never begun", term)
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
const termsSQL = `select term, node, process, zone, kafka_host, kafka_port, expires_at, 0
	from terms indexed by terms_node where ended_at is null
	union all
	select term, node, process, zone, kafka_host, kafka_port, expires_at, 1 from terms
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
		if err := rows.Scan(&info.Term, &info.Node, &a.Process, &a.Zone, &a.KafkaHost, &a.KafkaPort, &expires, &info.Ended); err != nil {
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

// Now implements metastore.Store.
func (s *Store) Now(context.Context) (time.Time, error) { return s.clock(), nil }
