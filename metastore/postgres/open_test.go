package postgres

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/journaltest"
)

func TestParse_Schema(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u@h/db":                        "wadi",
		"postgres://u@h/db?wadi_schema=two_1":      "two_1",
		"host=h dbname=db wadi_schema=user":        "user",
		"postgres://u@h/db?wadi_schema=":           "",
		"postgres://u@h/db?wadi_schema=Wadi":       "",
		"postgres://u@h/db?wadi_schema=pg_x":       "",
		"postgres://u@h/db?wadi_schema=a%22%3b":    "",
		"postgres://u@h:port/db":                   "",
		"postgres://u@h/db?wadi_schema=1of2":       "",
		"postgres://u@h/db?pool_max_conns=3&x=y":   "wadi",
		"postgres://u@h/db?application_name=other": "wadi",
	} {
		cfg, schema, err := parse(url)
		if (err != nil) != (want == "") || schema != want && want != "" {
			t.Errorf("%s: schema %q, error %v", url, schema, err)
		}
		if err != nil {
			continue
		}
		if _, kept := cfg.ConnConfig.RuntimeParams[schemaOption]; kept {
			t.Errorf("%s: the server would be told the schema", url)
		}
		if cfg.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheDescribe {
			t.Errorf("%s: a pooler would lose prepared statements", url)
		}
		if wide := strings.Contains(url, "pool_max_conns"); wide != (cfg.MaxConns == 3) {
			t.Errorf("%s: %d connections", url, cfg.MaxConns)
		}
	}
}

func TestServerSettings_Refused(t *testing.T) {
	good := serverSettings{version: 150004, fsync: "on", synchronousCommit: "remote_apply", isolation: "read committed"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(g *serverSettings){
		"Postgres 12 is too old":        func(g *serverSettings) { g.version = 120022 },
		"standby":                       func(g *serverSettings) { g.standby = true },
		"fsync=off":                     func(g *serverSettings) { g.fsync = "off" },
		"synchronous_commit=off":        func(g *serverSettings) { g.synchronousCommit = "off" },
		"default_transaction_isolation": func(g *serverSettings) { g.isolation = "serializable" },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestOpen_RefusesWhatLosesRecords(t *testing.T) {
	for _, setting := range []string{"synchronous_commit = off", "default_transaction_isolation = 'repeatable read'"} {
		url := server.Database(t)
		conn := connect(t, url)
		exec(t, conn, "alter database "+conn.Config().Database+" set "+setting)
		_, err := Open(t.Context(), url, metastore.DefaultCluster())
		if name, _, _ := strings.Cut(setting, " "); err == nil || !strings.Contains(err.Error(), name) {
			t.Fatalf("%s: error %v", setting, err)
		}
	}
}

func TestOpen_RefusesOtherSchemas(t *testing.T) {
	url := server.Database(t)
	conn := connect(t, url)
	open := func() error {
		s, err := Open(t.Context(), url, metastore.DefaultCluster())
		if err == nil {
			s.Close()
		}
		return err
	}
	exec(t, conn, "create schema wadi")
	if err := open(); err != nil {
		t.Fatalf("an empty schema that an administrator made: %v", err)
	}
	exec(t, conn, "insert into wadi.migrations (number, name) values (9999, 'of the future')")
	if err := open(); !errors.Is(err, metastore.ErrNewerSchema) {
		t.Fatalf("a newer schema: %v", err)
	}
	exec(t, conn, "drop schema wadi cascade; create schema wadi; create table wadi.invoices (x int)")
	if err := open(); !errors.Is(err, metastore.ErrForeignSchema) {
		t.Fatalf("another program's schema: %v", err)
	}
	exec(t, conn, "create table wadi.migrations (version text)")
	if err := open(); !errors.Is(err, metastore.ErrForeignSchema) {
		t.Fatalf("another program's migrations: %v", err)
	}
}

func TestOpen_RefusesBadCluster(t *testing.T) {
	if _, err := Open(t.Context(), "postgres://127.0.0.1:1/x", metastore.Cluster{}); err == nil {
		t.Fatal("opened")
	}
}

func TestOpen_AtOnceMakesOneCluster(t *testing.T) {
	const agents = 5
	url := server.Database(t)
	stores := make([]*Store, agents)
	errs := make([]error, agents)
	var wg sync.WaitGroup
	for i := range agents {
		wg.Go(func() { stores[i], errs[i] = Open(context.Background(), url, metastore.DefaultCluster()) })
	}
	wg.Wait()
	for i, s := range stores {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		defer s.Close()
		if s.Cluster() != stores[0].Cluster() {
			t.Fatalf("clusters %+v and %+v", s.Cluster(), stores[0].Cluster())
		}
	}
	other := metastore.DefaultCluster()
	other.Shards = 3
	again, err := Open(t.Context(), url, other)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Cluster() != stores[0].Cluster() {
		t.Fatalf("a later one opened %+v", again.Cluster())
	}
}

// TestStatements_Prepare prepares every statement, and finds each const in the list.
func TestStatements_Prepare(t *testing.T) {
	url := server.Database(t)
	openStore(t, url)
	conn := connect(t, url)
	for _, sql := range statements() {
		if _, err := conn.Prepare(t.Context(), "", sql); err != nil {
			t.Errorf("%s\n%v", sql, err)
		}
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var consts, listed []string
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if name := n.Names[0].Name; strings.HasSuffix(name, "SQL") {
					consts = append(consts, name)
				}
			case *ast.FuncDecl:
				if n.Name.Name == "statements" {
					ast.Inspect(n, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok && strings.HasSuffix(id.Name, "SQL") {
							listed = append(listed, id.Name)
						}
						return true
					})
				}
			}
			return true
		})
	}
	slices.Sort(consts)
	slices.Sort(listed)
	if !slices.Equal(consts, listed) {
		t.Fatalf("consts %v\nlisted %v", consts, listed)
	}
}

func TestMigrations_AreNumbered(t *testing.T) {
	all, err := migrations()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d migrations, %v", len(all), err)
	}
	unqualified := regexp.MustCompile(`(?i)\b(create table|create function|into|update|from|join) +(wadi[^.]|journal|snapshots|terms|cluster)`)
	for _, m := range all {
		if found := unqualified.FindString(m.sql); found != "" {
			t.Errorf("%s: %q names no schema", m.name, found)
		}
	}
}

// counter counts the statements that pgx sends.
type counter struct{ sent atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.sent.Add(1)
	return ctx
}

func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestStore_OneStatementPerCall holds what every call costs.
func TestStore_OneStatementPerCall(t *testing.T) {
	cfg, schema, err := parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	var c counter
	cfg.ConnConfig.Tracer = &c
	s, err := open(t.Context(), cfg, schema, metastore.DefaultCluster())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	term := journaltest.Begin(t, s)
	all := s.Cluster().Journals()
	var parts []metastore.AppendPart
	var positions []metastore.Position
	for _, j := range all {
		parts = append(parts, journaltest.Part(j, "x"))
		positions = append(positions, metastore.Position{Journal: j})
	}
	for _, call := range []struct {
		name string
		want int64
		make func() error
	}{
		{"append of every journal", 1, func() error { _, err := s.Append(ctx, term, parts); return err }},
		{"read of every journal", 1, func() error { _, err := s.Read(ctx, positions, 1<<20); return err }},
		{"snapshots", 1, func() error { _, err := s.Snapshots(ctx, all); return err }},
		{"place", 1, func() error {
			_, err := s.PlaceSnapshot(ctx, term, metastore.SnapshotPlace{Journal: shard0, Version: 1})
			return err
		}},
		{"trim", 1, func() error { _, err := s.Trim(ctx, shard0, 1, 1); return err }},
		{"begin", 1, func() error { _, err := s.BeginTerm(ctx, metastore.AgentInfo{}, 0); return err }},
		{"renew", 1, func() error { return s.RenewTerm(ctx, term, journaltest.Lease, 0) }},
		{"drain", 1, func() error { return s.DrainTerm(ctx, term) }},
		{"prune", 1, func() error { _, err := s.PruneTerms(ctx, 0, nil, 10); return err }},
		{"now", 1, func() error { _, err := s.Now(ctx); return err }},
		{"terms", 1, func() error { _, err := s.Terms(ctx); return err }},
		{"end", 1, func() error { _, err := s.EndTerm(ctx, term, false); return err }},
		{"end by force", 2, func() error { _, err := s.EndTerm(ctx, term, true); return err }},
	} {
		before := c.sent.Load()
		if err := call.make(); err != nil {
			t.Fatalf("%s: %v", call.name, err)
		}
		if got := c.sent.Load() - before; got != call.want {
			t.Errorf("%s: %d statements, want %d", call.name, got, call.want)
		}
	}
}

// TestPlans_ReadNoTable: a session whose plans were made while the tables were
// tiny and analyzed still goes by their indexes when they no longer are.
func TestPlans_ReadNoTable(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	s := openStore(t, url)
	term := journaltest.Begin(t, s)
	journaltest.Append(t, s, term, journaltest.Part(shard0, "a"), journaltest.Part(metastore.CatalogJournal, "a"))
	exec(t, connect(t, url), "vacuum analyze")
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var plans strings.Builder
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { plans.WriteString(n.Message + "\n") }
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	results := conn.PgConn().Exec(ctx, `load 'auto_explain'; set auto_explain.log_min_duration = 0;
		set auto_explain.log_nested_statements = on; set client_min_messages = log;
		select * from wadi.append(1, '{16777216,33554432}', '{a,b}', '{-1,-1}');
		select * from wadi.tails('{16777216,33554432}', '{0,1}', 1000);
		select * from wadi.place_snapshot(1, 33554432, 2, 'o', repeat('h', 32)::bytea, 1);
		select * from wadi.trim(33554432, 2, 1)`)
	if _, err := results.ReadAll(); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(Seq|Bitmap)[a-zA-Z ]* Scan.*`).FindString(plans.String()); found != "" {
		t.Fatalf("%s in\n%s", found, plans.String())
	}
	if n := strings.Count(plans.String(), "Index Only Scan Backward using journal_entries_pkey"); n < 4 {
		t.Fatalf("%d heads are read from the index alone, of 4:\n%s", n, plans.String())
	}
}

// TestMigrations_SeatsOfLiveAgents: agents of the release before seats get one, and
// others of that release can still begin.
func TestMigrations_SeatsOfLiveAgents(t *testing.T) {
	ctx := t.Context()
	url := server.Database(t)
	conn := connect(t, url)
	all, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "create schema wadi")
	exec(t, conn, all[0].sql)
	exec(t, conn, "insert into wadi.migrations (number, name) values (1, $1)", all[0].name)
	exec(t, conn, "insert into wadi.cluster (id, shards, groups, transactions) values ($1, 8, 1, 1)", metastore.DefaultCluster().ID)
	begin := func(zone string) {
		t.Helper()
		exec(t, conn, "select * from wadi.begin_term('p', $1, 'h', 9092, '1 hour')", zone)
	}
	for _, zone := range []string{"a", "a", "b", "a"} {
		begin(zone)
	}
	exec(t, conn, "select wadi.end_term(1, true)")
	s := openStore(t, url)
	begin("a")
	infos, err := s.Terms(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	seats := map[metastore.Term]int32{}
	for _, info := range infos {
		seats[info.Term] = info.Seat
		if a := info.Agent; a.Roles != metastore.RolesAll || a.Level != 1 || a.Peer != "" || info.Draining {
			t.Errorf("listed %+v", info)
		}
	}
	if want := map[metastore.Term]int32{1: 0, 2: 1, 3: 1, 4: 2, 5: 3}; !maps.Equal(seats, want) {
		t.Errorf("seats by term %v, want %v", seats, want)
	}
}
