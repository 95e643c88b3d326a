package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wadi-io/wadi/metastore"
)

// serverVersionMin is the oldest server supported, as server_version_num tells it.
const serverVersionMin = 130000

// Connections of one Store.
const (
	connectionsMax      = 8 // of appends and reads, unless the URL says pool_max_conns
	termConnectionsMax  = 2 // of terms: a renewal never queues behind appends
	connectTimeout      = 10 * time.Second
	silenceMax          = 30 * time.Second // of a peer that is gone without a word
	schemaOption        = "wadi_schema"
	schemaDefault       = "wadi"
	applicationName     = "wadi"
	isolationNeeded     = "read committed"
	connectionIdleAfter = 15 * time.Second // the first keepalive probe
)

// Store is a metastore.Store in a schema of a Postgres database.
type Store struct {
	pool    conns
	terms   conns
	sql     map[string]string // each statement as written, and in this schema
	cluster metastore.Cluster
	server  seenServer
}

var _ metastore.Store = (*Store)(nil)

// Open connects to the database that url names (or a key=value string, as libpq
// takes it), migrates its schema and reads its cluster; a schema that holds none
// gets the one in init. The option wadi_schema names the schema, "wadi" by
// default. Open refuses a server that could lose what it has acknowledged, a
// schema of a newer release (ErrNewerSchema) and one of something else
// (ErrForeignSchema). A server that can't be used at the moment is metastore.ErrUnreachable.
func Open(ctx context.Context, url string, init metastore.Cluster) (*Store, error) {
	cfg, schema, err := parse(url)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, schema, init)
}

// schemaName bounds the schema's name to what needs no thought in any tool.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func parse(url string) (cfg *pgxpool.Config, schema string, err error) {
	cfg, err = pgxpool.ParseConfig(url)
	if err != nil {
		return nil, "", fmt.Errorf("the metastore's URL: %w", err)
	}
	params := cfg.ConnConfig.RuntimeParams
	schema = schemaDefault
	if name, ok := params[schemaOption]; ok {
		delete(params, schemaOption) // ours, the server would refuse it
		schema = name
	}
	if !schemaName.MatchString(schema) || strings.HasPrefix(schema, "pg_") {
		return nil, "", fmt.Errorf("%s=%q: a schema's name is lower-case letters, digits and _", schemaOption, schema)
	}
	if params["application_name"] == "" {
		params["application_name"] = applicationName
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = connectionsMax
	}
	// Named prepared statements fail behind a pooler in transaction mode.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	// Appends have no deadline, so a dead connection must be noticed by the kernel.
	dialer := &net.Dialer{
		Timeout:         cfg.ConnConfig.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: connectionIdleAfter, Interval: 5 * time.Second, Count: 3},
		Control:         boundSilence,
	}
	cfg.ConnConfig.DialFunc = dialer.DialContext
	cfg.ConnConfig.ValidateConnect = validated(cfg.ConnConfig.ValidateConnect)
	cfg.ConnConfig.OnNotice = noteCuts
	// A ping before use would be a statement more; a stale connection is an error like any other.
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	return cfg, schema, nil
}

func open(ctx context.Context, cfg *pgxpool.Config, schema string, init metastore.Cluster) (*Store, error) {
	if err := init.Validate(); err != nil {
		return nil, err
	}
	s := &Store{sql: inSchema(schema)}
	var err error
	if s.pool.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	forTerms := cfg.Copy()
	forTerms.MaxConns = termConnectionsMax
	if s.terms.Pool, err = pgxpool.NewWithConfig(ctx, forTerms); err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	if err := s.prepare(ctx, schema, init); err != nil {
		s.Close()
		return nil, reached(err)
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, schema string, init metastore.Cluster) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx, schema); err != nil {
		return err
	}
	if err := s.loadCluster(ctx, init); err != nil {
		return err
	}
	return s.meet(ctx)
}

const checkServerSQL = `select current_setting('server_version_num')::integer, pg_is_in_recovery(),
	current_setting('fsync'), current_setting('synchronous_commit'), current_setting('default_transaction_isolation')`

// checkServer refuses a server that can't keep the promises of an append.
func (s *Store) checkServer(ctx context.Context) error {
	var got serverSettings
	err := s.pool.QueryRow(ctx, s.sql[checkServerSQL]).
		Scan(&got.version, &got.standby, &got.fsync, &got.synchronousCommit, &got.isolation)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	return got.check()
}

type serverSettings struct {
	version                             int // as server_version_num: 150004
	standby                             bool
	fsync, synchronousCommit, isolation string
}

func (g serverSettings) check() error {
	switch {
	case g.version < serverVersionMin:
		return fmt.Errorf("this Postgres %d is too old: the metastore needs %d or newer", g.version/10000, serverVersionMin/10000)
	case g.standby:
		return errStandby
	case g.fsync != "on":
		return errors.New("this Postgres runs with fsync=off: it would lose acknowledged records, turn it on")
	case g.synchronousCommit == "off":
		return errors.New("this Postgres runs with synchronous_commit=off: it would lose acknowledged records, turn it on")
	case g.isolation != isolationNeeded:
		return fmt.Errorf("default_transaction_isolation is %q: the metastore needs %q", g.isolation, isolationNeeded)
	}
	return nil
}

const clusterSQL = `select id, shards, groups, transactions from wadi.cluster`

const makeClusterSQL = `with made as (
		insert into wadi.cluster (id, shards, groups, transactions) values ($1, $2, $3, $4)
		on conflict do nothing returning 1
	)
	insert into wadi.journals (journal, name)
	select j.journal, j.name from made, unnest($5::integer[], $6::text[]) j(journal, name)`

// loadCluster reads the cluster, or makes it; of two that make it at once one does.
func (s *Store) loadCluster(ctx context.Context, init metastore.Cluster) error {
	c := &s.cluster
	read := func() error {
		return s.pool.QueryRow(ctx, s.sql[clusterSQL]).Scan(&c.ID, &c.Shards, &c.Groups, &c.Transactions)
	}
	err := read()
	if errors.Is(err, pgx.ErrNoRows) {
		all := init.Journals()
		ids, names := journalIDs(all), make([]string, len(all))
		for i, j := range all {
			names[i] = j.String()
		}
		_, err = s.pool.Exec(ctx, s.sql[makeClusterSQL], init.ID, init.Shards, init.Groups, init.Transactions, ids, names)
		if err != nil {
			return fmt.Errorf("make the cluster: %w", err)
		}
		err = read()
	}
	if err != nil {
		return fmt.Errorf("read the cluster: %w", err)
	}
	return nil
}

// Cluster implements metastore.Store.
func (s *Store) Cluster() metastore.Cluster { return s.cluster }

// Close implements metastore.Store. It waits for calls that are under way.
func (s *Store) Close() error {
	if s.server.close != nil {
		s.server.close()
		s.server.looks.Wait()
	}
	s.pool.Close()
	s.terms.Close()
	return nil
}

// failed wraps the error of a statement. A connection that broke by itself says
// that the others of its pool are as old as it was; one that leads to a standby, that they may too.
func failed(ctx context.Context, pool conns, what string, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) && ctx.Err() == nil || refused != nil && isStandby(refused.Code) {
		pool.Reset()
	}
	return fmt.Errorf("%s: %w", what, reached(err))
}

func journalIDs(journals []metastore.JournalID) []int32 {
	ids := make([]int32, len(journals))
	for i, j := range journals {
		ids[i] = int32(j)
	}
	return ids
}

// statements lists every statement of the package, as written for the schema "wadi".
func statements() []string {
	return []string{
		checkServerSQL, clusterSQL, makeClusterSQL, claimBucketSQL, lockMigrationsSQL, lookSQL, migratedSQL, tookSQL,
		appendSQL, readSQL, meetSQL, settledSQL, confirmSQL, lostNowSQL, lostTailsSQL, recoverTailSQL, tailRecoveredSQL, journalsSQL,
		settingsSQL, backendSQL, mayMakeSQL, mayUseSQL, hereSQL, emitSQL, lockWaitSQL, snapshotsSQL, placeSnapshotSQL, trimSQL,
		beginTermSQL, renewTermSQL, drainTermSQL, expireTermSQL, endTermSQL, termsSQL, pruneTermsSQL, nowSQL,
		appendRowsSQL, extentsByOffsetSQL, extentsBySinceSQL, extentsByLatestSQL, extentsSmallSQL, extentsEverySQL, extentTopicsSQL,
		retireSQL, collectedSQL, retiredSQL, segmentsSQL, appendArchiveSQL, filesByTopicSQL, filesExpiredSQL, removeArchiveSQL,
	}
}

// inSchema returns the statements by how they are written, moved into a schema.
func inSchema(schema string) map[string]string {
	moved := make(map[string]string)
	for _, statement := range statements() {
		moved[statement] = moveTo(schema, statement)
	}
	return moved
}

func moveTo(schema, sql string) string {
	return strings.ReplaceAll(sql, "wadi.", pgx.Identifier{schema}.Sanitize()+".")
}
