package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wadi-io/wadi/metastore"
)

// applicationID marks our files in SQLite's header: "Wadi". Persisted; never change.
const applicationID = 0x57616469

// busyTimeoutMs bounds the wait for a lock that another process holds, such as a backup.
const busyTimeoutMs = 10_000

// readersMax bounds the connections that read.
const readersMax = 4

// Store is a metastore.Store in a file.
type Store struct {
	clock      func() time.Time
	cluster    metastore.Cluster
	writer     *sql.DB // one connection, so that writers wait for each other in Go
	reader     *sql.DB
	statements map[string]*sql.Stmt // by their text
}

var _ metastore.Store = (*Store)(nil)

// Open opens the file at path or makes it, migrates it and reads its cluster; a
// file that holds none gets the one in init. The caller has locked the folder.
// Open refuses a file of a newer release (ErrNewerSchema) and one of something
// else (ErrForeignSchema).
func Open(ctx context.Context, path string, init metastore.Cluster) (*Store, error) {
	return OpenClock(ctx, path, init, time.Now)
}

// OpenClock is Open with the clock that leases run by.
func OpenClock(ctx context.Context, path string, init metastore.Cluster, clock func() time.Time) (*Store, error) {
	if err := init.Validate(); err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	s := &Store{clock: clock, statements: make(map[string]*sql.Stmt)}
	var err error
	if s.writer, err = sql.Open("sqlite", dsn(path, "immediate")); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = sql.Open("sqlite", dsn(path, "deferred")+"&_pragma=query_only(1)"); err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.reader.SetMaxOpenConns(readersMax)
	s.reader.SetMaxIdleConns(readersMax)
	if err := s.prepare(ctx, init); err != nil {
		s.Close()
		var refused *sqlite.Error
		if errors.As(err, &refused) && refused.Code() == sqlite3.SQLITE_NOTADB {
			err = errors.Join(metastore.ErrForeignSchema, err)
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// makeFile makes the file if there is none and syncs its folder: SQLite syncs
// what it writes into the file, not the name that leads to it.
func makeFile(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// dsn names the file and what each connection sets first. In WAL mode only
// synchronous=FULL syncs at each commit.
func dsn(path, lock string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String() +
		fmt.Sprintf("?_txlock=%s&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)", lock, busyTimeoutMs) +
		"&_pragma=fullfsync(1)&_pragma=checkpoint_fullfsync(1)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
}

func (s *Store) prepare(ctx context.Context, init metastore.Cluster) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	for _, text := range writes() {
		stmt, err := s.writer.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare %s: %w", text, err)
		}
		s.statements[text] = stmt
	}
	for _, text := range reads() {
		stmt, err := s.reader.PrepareContext(ctx, text)
		if err != nil {
			return fmt.Errorf("prepare %s: %w", text, err)
		}
		s.statements[text] = stmt
	}
	return s.loadCluster(ctx, init)
}

const clusterSQL = `select id, shards, groups, transactions from cluster`

const makeClusterSQL = `insert into cluster (id, shards, groups, transactions, created_at) values (?, ?, ?, ?, ?)`

const makeJournalSQL = `insert into journals (journal, name) values (?, ?)`

// loadCluster reads the cluster, or makes it.
func (s *Store) loadCluster(ctx context.Context, init metastore.Cluster) error {
	return s.write(ctx, "make the cluster", func(tx *writeTx) error {
		c := &s.cluster
		err := tx.row(clusterSQL).Scan(&c.ID, &c.Shards, &c.Groups, &c.Transactions)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := tx.exec(makeClusterSQL, init.ID, init.Shards, init.Groups, init.Transactions, tx.now); err != nil {
			return err
		}
		for _, j := range init.Journals() {
			if _, err := tx.exec(makeJournalSQL, j, j.String()); err != nil {
				return err
			}
		}
		s.cluster = init
		return nil
	})
}

// writes lists the statements of the connection that writes.
func writes() []string {
	return []string{
		clusterSQL, makeClusterSQL, makeJournalSQL, claimBucketSQL, bucketSQL,
		liveSQL, headSQL, appendSQL, placedSQL, placeSQL, replaceSQL, trimSQL, trimmedSQL,
		lostSQL, liveTermsSQL, markLostSQL, lostTermSQL, recoverTailSQL, tailRecoveredSQL,
		lastTermSQL, nodesSQL, seatsSQL, beginTermSQL, renewTermSQL, drainTermSQL, heldSQL, endTermSQL, pruneTermsSQL,
		takenSegmentSQL, beginArchiveSQL, moveArchiveSQL, placeFileSQL, removeFileSQL, retireFileSQL, removeExtentSQL, overlapSQL, placeExtentSQL, retireReplacedSQL, retireSQL, collectedSQL,
	}
}

// reads lists the statements of the connections that read.
func reads() []string {
	return []string{
		headsSQL, lostTailsSQL, journalSQL, entriesSQL, snapshotsSQL, termsSQL,
		extentsByOffsetSQL, extentsBySinceSQL, extentsByLatestSQL, extentsSmallSQL, extentsEverySQL, extentTopicsSQL,
		retiredSQL, segmentsSQL, filesByTopicSQL, filesExpiredSQL,
	}
}

// Cluster implements metastore.Store.
func (s *Store) Cluster() metastore.Cluster { return s.cluster }

// Close implements metastore.Store. It waits for calls that are under way.
func (s *Store) Close() error {
	// The writer last: the last connection to close folds the log into the file.
	return errors.Join(s.reader.Close(), s.writer.Close())
}
