package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// checkRounds is how often Check measures, and how many statements it sends to
	// find out whether a pooler stands between.
	checkRounds = 9
	// skewMax is how far the database's clock may be off without a word, in either direction.
	skewMax = time.Second
)

// Finding is what one step of Check found.
type Finding struct {
	Step string
	Text string // what was found, in words
	Err  error  // why the metastore can't be used
}

// Check proves that a database does what Wadi needs, and measures it. It tells each
// step, and leaves nothing behind. The error is that of the step that failed.
func Check(ctx context.Context, url string, tell func(Finding)) error {
	cfg, schema, err := parse(url)
	if err != nil {
		return err
	}
	cfg.MaxConns = 1
	c := &check{schema: schema, store: &Store{sql: inSchema(schema)}}
	if c.store.pool.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer c.store.pool.Close()
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) (string, error)
	}{
		{"connect", c.connect},
		{"keep what is committed", c.durability},
		{"pooler", c.pooler},
		{"schema", c.migrations},
		{"permissions", c.permissions},
		{"server", c.server},
		{"clock", c.clock},
		{"time of a commit", c.commits},
	} {
		text, err := step.do(ctx)
		tell(Finding{step.name, text, err})
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

type check struct {
	schema string
	store  *Store
	done   int // migrations
}

// connect says how the connection is made.
func (c *check) connect(ctx context.Context) (text string, err error) {
	conn, err := c.store.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	secrecy := "without TLS"
	if t, ok := conn.Conn().PgConn().Conn().(*tls.Conn); ok {
		secrecy = tls.VersionName(t.ConnectionState().Version)
		config := conn.Conn().Config().TLSConfig
		switch {
		case !config.InsecureSkipVerify:
			secrecy += ", the server's name and certificate verified"
		case config.VerifyPeerCertificate != nil:
			secrecy += ", the certificate verified, not the server's name (sslmode=verify-full does that)"
		default:
			secrecy += ", nothing of the server verified (sslmode=verify-full does that)"
		}
	}
	return fmt.Sprintf("Postgres %s, %s", conn.Conn().PgConn().ParameterStatus("server_version"), secrecy), nil
}

const settingsSQL = `select current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('synchronous_standby_names')`

// durability refuses what Open refuses.
func (c *check) durability(ctx context.Context) (string, error) {
	if err := c.store.checkServer(ctx); err != nil {
		return "", err
	}
	var pages, commit, standbys string
	if err := c.store.pool.QueryRow(ctx, settingsSQL).Scan(&pages, &commit, &standbys); err != nil {
		return "", err
	}
	text := "fsync=on, synchronous_commit=" + commit + ", full_page_writes=" + pages
	if pages != "on" {
		text += " (only a file system that never tears a page allows that)"
	}
	if standbys == "" {
		return text + "; no synchronous standby: a fail-over may lose the newest commits", nil
	}
	return text + "; commits wait for a standby (" + standbys + ")", nil
}

const backendSQL = `select pg_backend_pid(), coalesce(inet_client_port(), 0)`

// pooler finds out whether something stands between: the server sees another port then
// than this end of the connection has, or other processes get one connection's statements.
func (c *check) pooler(ctx context.Context) (string, error) {
	conn, err := c.store.pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Release()
	here, _ := conn.Conn().PgConn().Conn().LocalAddr().(*net.TCPAddr)
	between := false
	pids := map[int]bool{}
	for range checkRounds {
		var pid, port int
		if err := conn.QueryRow(ctx, backendSQL).Scan(&pid, &port); err != nil {
			return "", fmt.Errorf("a statement failed where the one before it succeeded; does a pooler stand between, in statement mode? %w", err)
		}
		pids[pid] = true
		between = between || here != nil && here.Port != port
	}
	switch {
	case len(pids) > 1:
		return fmt.Sprintf("one in transaction mode stands between (%d statements went to %d processes), which is fine", checkRounds, len(pids)), nil
	case between:
		return "one stands between, in session or transaction mode, which is fine", nil
	}
	return "none", nil
}

// migrations says what the schema holds.
func (c *check) migrations(ctx context.Context) (string, error) {
	all, err := migrations()
	if err != nil {
		return "", err
	}
	last := all[len(all)-1].number
	if c.done, err = c.store.migrated(ctx, c.store.pool, c.schema, last); err != nil {
		return "", err
	}
	switch {
	case c.done == 0:
		return fmt.Sprintf("%s is not there or empty; wadi metastore migrate or the first agent makes it (migration %d)", c.schema, last), nil
	case c.done < last:
		return fmt.Sprintf("%s is at migration %d, this release takes it to %d: wadi metastore migrate, or the next agent that starts", c.schema, c.done, last), nil
	}
	return fmt.Sprintf("%s is at migration %d, as this release wants it", c.schema, c.done), nil
}

const mayMakeSQL = `select case when to_regnamespace($1) is null then has_database_privilege(current_database(), 'create')
	else has_schema_privilege($1, 'create') and has_schema_privilege($1, 'usage') end, current_user`

const mayUseSQL = `select coalesce(array_agg(c.relname::text order by c.relname), '{}') from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where n.nspname = $1 and c.relkind = 'r'
	and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
		and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))`

func (c *check) permissions(ctx context.Context) (string, error) {
	var may bool
	var role string
	if err := c.store.pool.QueryRow(ctx, mayMakeSQL, c.schema).Scan(&may, &role); err != nil {
		return "", err
	}
	if !may && c.done == 0 {
		return "", fmt.Errorf("the role %s may not make the schema %s, or tables in it: grant it create on the database, or make the schema for it", role, c.schema)
	}
	var closed []string
	if err := c.store.pool.QueryRow(ctx, mayUseSQL, c.schema).Scan(&closed); err != nil {
		return "", err
	}
	if len(closed) > 0 {
		return "", fmt.Errorf("the role %s may not read and write %v in the schema %s", role, closed, c.schema)
	}
	if !may {
		return fmt.Sprintf("the role %s may read and write the tables; migrations must be taken by another role", role), nil
	}
	return fmt.Sprintf("the role %s may make, read and write the tables", role), nil
}

const hereSQL = `select identity, wadi.here(by_start), moved_to is not null from wadi.server`

// serverWhole is the first migration that knows of servers.
const serverWhole = 3

func (c *check) server(ctx context.Context) (string, error) {
	if c.done < serverWhole {
		return "nothing is known of it yet", nil
	}
	var confirmed, here string
	var moving bool
	if err := c.store.pool.QueryRow(ctx, c.store.sql[hereSQL]).Scan(&confirmed, &here, &moving); err != nil {
		return "", err
	}
	if confirmed != here {
		return fmt.Sprintf("%s, which is another than the one confirmed (%s): agents compare what they have seen before they go on", here, confirmed), nil
	}
	lost, err := c.store.LostTails(ctx)
	if err != nil {
		return "", err
	}
	if len(lost) > 0 {
		return "", fmt.Errorf("%d journals have lost their tails, %v the first of them: see wadi metastore recover", len(lost), lost[0].Journal)
	}
	return here + ", the one that was confirmed; no journal has lost its tail", nil
}

func (c *check) clock(ctx context.Context) (string, error) {
	before := time.Now()
	var now time.Time
	if err := c.store.pool.QueryRow(ctx, nowSQL).Scan(&now); err != nil {
		return "", err
	}
	skew := now.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > skewMax {
		return fmt.Sprintf("the database's is %v ahead of this machine's: leases run by the database's, so nothing breaks; but set one of them right", skew), nil
	}
	return fmt.Sprintf("the database's is %v ahead of this machine's", skew), nil
}

const emitSQL = `select pg_logical_emit_message(true, 'wadi', 'check')`

// commits measures what an append costs: a round trip and a commit that is on disk.
func (c *check) commits(ctx context.Context) (string, error) {
	var trips, commits []time.Duration
	for range checkRounds {
		begin := time.Now()
		if _, err := c.store.pool.Exec(ctx, backendSQL); err != nil {
			return "", err
		}
		trips = append(trips, time.Since(begin))
		begin = time.Now()
		if _, err := c.store.pool.Exec(ctx, emitSQL); err != nil {
			return "", err
		}
		commits = append(commits, time.Since(begin))
	}
	slices.Sort(trips)
	slices.Sort(commits)
	return fmt.Sprintf("%v, of which the way there and back takes %v (middle of %d; the slowest took %v)",
		rounded(commits[checkRounds/2]), rounded(trips[checkRounds/2]), checkRounds, rounded(commits[checkRounds-1])), nil
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// Migrate brings the schema to this release's state and says how many migrations
// it took. It makes no cluster. A lock that it would wait for longer than lockWaitSQL says ends
// it with nothing changed, since appends would queue behind it.
func Migrate(ctx context.Context, url string) (taken, now int, err error) {
	cfg, schema, err := parse(url)
	if err != nil {
		return 0, 0, err
	}
	s := &Store{sql: inSchema(schema)}
	if s.pool.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return 0, 0, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer s.pool.Close()
	if err := s.checkServer(ctx); err != nil {
		return 0, 0, err
	}
	all, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	now = all[len(all)-1].number
	before, err := s.migrated(ctx, s.pool, schema, now)
	if err != nil {
		return 0, 0, err
	}
	for _, m := range all {
		if m.number > before {
			taken++
		}
	}
	return taken, now, s.migrate(ctx, schema)
}

// ErrNoSchema: there is no metastore yet.
var ErrNoSchema = errors.New("there is no metastore in this database yet")

// OpenExisting opens a metastore that is there, at this release's state; it changes nothing.
func OpenExisting(ctx context.Context, url string) (*Store, error) {
	cfg, schema, err := parse(url)
	if err != nil {
		return nil, err
	}
	s := &Store{sql: inSchema(schema)}
	if s.pool.Pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	if s.terms.Pool, err = pgxpool.NewWithConfig(ctx, cfg.Copy()); err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	if err := s.find(ctx, schema); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) find(ctx context.Context, schema string) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	last := all[len(all)-1].number
	done, err := s.migrated(ctx, s.pool, schema, last)
	if err != nil {
		return err
	}
	if done == 0 {
		return fmt.Errorf("schema %s: %w", schema, ErrNoSchema)
	}
	if done < last {
		return fmt.Errorf("schema %s is at migration %d and this release needs %d: run wadi metastore migrate", schema, done, last)
	}
	c := &s.cluster
	err = s.pool.QueryRow(ctx, s.sql[clusterSQL]).Scan(&c.ID, &c.Shards, &c.Groups, &c.Transactions)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("schema %s: %w", schema, ErrNoSchema)
	}
	if err != nil {
		return fmt.Errorf("read the cluster: %w", err)
	}
	return s.meet(ctx)
}
