package metastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Version is the place of an entry in its journal. Versions of a journal are
// gapless and begin at 1; 0 means "before the first entry".
type Version uint64

// Term numbers an agent's lease on being alive. The metastore assigns it, rising
// from 1, and never assigns it twice.
type Term uint64

// JournalID names a journal: its kind in the highest byte, its index within
// the kind in the others. Persisted; never renumber.
type JournalID uint32

// The kinds of journals. Persisted; never renumber.
const (
	kindCatalog      = 1
	kindShard        = 2
	kindGroups       = 3
	kindTransactions = 4
)

// CatalogJournal holds topics, configs and producer id blocks.
const CatalogJournal JournalID = kindCatalog << 24

// ShardJournal is the journal of shard i.
func ShardJournal(i int) JournalID { return kindShard<<24 | JournalID(i) }

// GroupsJournal is the i-th journal of consumer groups.
func GroupsJournal(i int) JournalID { return kindGroups<<24 | JournalID(i) }

// TransactionsJournal is the i-th journal of transactional ids.
func TransactionsJournal(i int) JournalID { return kindTransactions<<24 | JournalID(i) }

// Shard returns the shard that the journal belongs to, and whether it is a shard's.
func (j JournalID) Shard() (int, bool) { return int(j & 0xffffff), j>>24 == kindShard }

// LogValue names the journal in logs of any format.
func (j JournalID) LogValue() slog.Value { return slog.StringValue(j.String()) }

func (j JournalID) String() string {
	i := int(j & 0xffffff)
	switch j >> 24 {
	case kindCatalog:
		return "catalog"
	case kindShard:
		return fmt.Sprintf("shard-%d", i)
	case kindGroups:
		return fmt.Sprintf("groups-%d", i)
	case kindTransactions:
		return fmt.Sprintf("transactions-%d", i)
	}
	return fmt.Sprintf("journal-%#x", uint32(j))
}

// EntryBytesMax bounds one entry's payload, in bytes. A flush that would pass
// it is closed earlier.
const EntryBytesMax = 1 << 20

// AppendPart is what one append adds to one journal.
type AppendPart struct {
	Journal JournalID
	Payload []byte // one entry, at most EntryBytesMax; the store keeps no reference to it
	Strict  bool   // refused unless the journal's head is Expect
	Expect  Version
}

// Position asks for the entries of a journal after a version.
type Position struct {
	Journal JournalID
	After   Version
}

// StoredEntry is an entry as the journal holds it.
type StoredEntry struct {
	Version Version
	Payload []byte
}

// Tail answers one Position.
type Tail struct {
	Journal JournalID
	// Head is the journal's newest version at the time of the read, 0 when empty. A
	// Head below a version that was seen before means that the database lost its tail.
	Head Version
	// Entries are consecutive and ascending. They start at After+1 unless Trimmed,
	// and stop early at the read's bytes limit (at least one is returned).
	Entries []StoredEntry
	// Trimmed says that After+1 has been deleted: load a snapshot first. Entries is empty.
	Trimmed bool
	// Lost is set when the journal is marked as having lost its tail: the newest
	// version that was ever seen of it. Nothing is to be built on its state.
	Lost Version
}

// SnapshotPlace says where a journal's snapshot lies. A journal has at most one:
// the newest that was placed.
type SnapshotPlace struct {
	Journal JournalID
	Version Version // the snapshot is the state after this entry
	Object  string  // its key in the bucket
	Hash    [32]byte
	Size    int64 // bytes
}

// Cluster is what is fixed when a cluster is made.
type Cluster struct {
	ID           string // Kafka's form: 22 characters of URL-safe base64 of a random UUID
	Shards       int
	Groups       int // journals of consumer groups
	Transactions int // journals of transactional ids
}

// AgentInfo describes the process that begins a term.
type AgentInfo struct {
	Process   string // unique per process start, for operators
	Zone      string
	KafkaHost string // advertised
	KafkaPort int32
	Peer      string // host:port where other agents reach it; empty: nowhere
	Roles     Roles
	Level     int32 // the newest FeatureLevel that it reads
}

// SameAddress tells whether clients reach both at the same address.
func (a AgentInfo) SameAddress(b AgentInfo) bool {
	return a.KafkaHost == b.KafkaHost && a.KafkaPort == b.KafkaPort
}

// NodeHeldFor is how long after a term's end its node is given only to an agent at the
// same address: clients ask for metadata again after 5 minutes (metadata.max.age.ms), and
// would take another agent for that one until then. Migrations have it too.
const NodeHeldFor = 10 * time.Minute

// TermInfo is a term as the metastore knows it.
type TermInfo struct {
	Term Term
	// Node is the Kafka node id: the lowest one that no unended term held when this
	// term began, nor a term at another address that had ended less than NodeHeldFor before.
	Node int32
	// Seat is the lowest one, from 1, that no unended term of its zone and roles held
	// when this term began; 0: none, since an older release began it.
	Seat  int32
	Agent AgentInfo
	// LeaseLeft is until the lease expires, by the database's clock; negative when
	// it has expired already. An expired term is not ended until someone ends it.
	LeaseLeft time.Duration
	// Settled is the highest number of an ingest segment of the term, such that no append to come
	// names one up to it: what no journal names of them now is dead, though the term lives.
	Settled  uint64
	Draining bool // it is about to end: send nothing more to it
	Ended    bool
}

// ErrTermEnded refuses an append or renewal: the term has ended or its lease expired. Nothing was appended.
var ErrTermEnded = errors.New("the term has ended")

// StrictLostError refuses an append: a strict part expected another head. Nothing was appended to any journal.
type StrictLostError struct {
	Journal JournalID
	Head    Version // the head that was found
}

func (e *StrictLostError) Error() string {
	return fmt.Sprintf("%v is at version %d, not where the strict append expected it", e.Journal, e.Head)
}

// Mover is a Store whose server may become another one, as Postgres does when it fails
// over. What is known of one server says nothing of what the next one lacks.
type Mover interface {
	// Origin names the server that calls go to. An Append that succeeds has landed on the
	// one that was named when it was called.
	Origin() string
	// Pushed notes that another agent has appended an entry on the server of that name, and
	// tells whether it may be folded: not if the server is another, or in doubt.
	Pushed(origin string, journal JournalID, version Version) bool
}

// Store is what the three metastores (postgres, sqlite, memory) implement, and
// what package journaltest checks. All methods are safe for concurrent use.
//
// Any error that is none of ErrTermEnded, ErrRowsTaken and *StrictLostError leaves the
// outcome of an Append unknown (I5): resolve it by appending the same bytes
// again, since the fold voids a repeated (term, number).
type Store interface {
	// Append adds one entry to each named journal, all or none, and returns their
	// versions in the order of parts. Journals may come in any order and must be
	// distinct. It is refused with ErrTermEnded unless the term is live by the
	// database's clock, and the term cannot end between that check and the commit.
	// ctx must carry no deadline: a cancelled append may still land.
	Append(ctx context.Context, term Term, parts []AppendPart) ([]Version, error)

	// AppendRows is Append that also changes rows of the tables, all or nothing.
	// ErrRowsTaken refuses it. A partition segment whose last extent goes is retired by it.
	AppendRows(ctx context.Context, term Term, parts []AppendPart, rows Rows) ([]Version, error)
	// Extents returns the rows of extents that q asks for.
	Extents(ctx context.Context, q ExtentQuery) ([]ExtentRow, error)
	// ExtentTopics returns up to limit numbers of topics above after that have rows of
	// extents, ascending.
	ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error)
	// Retire writes a row, retired now, for each object that has none. Objects that have
	// one keep it. Refused with ErrTermEnded as Append is.
	Retire(ctx context.Context, term Term, reason string, objects []SegmentRow) error
	// Retired returns the rows that were retired longer than age ago, by the database's
	// clock, the oldest first.
	Retired(ctx context.Context, age time.Duration, limit int) ([]SegmentRow, error)
	// Collected deletes the rows of retired segments whose objects are gone. Refused with
	// ErrTermEnded as Append is.
	Collected(ctx context.Context, term Term, objects []string) error
	// Segments returns the rows of segments whose keys come after after, in the order of their bytes.
	Segments(ctx context.Context, after string, limit int) ([]SegmentRow, error)
	// ArchiveFiles returns the rows of archive files that q asks for.
	ArchiveFiles(ctx context.Context, q ArchiveQuery) ([]ArchiveFile, error)
	// RemoveArchiveFiles deletes the rows of archive files, those that are there, and retires their
	// objects, at once. Refused with ErrTermEnded as Append is.
	RemoveArchiveFiles(ctx context.Context, term Term, reason string, objects []string) error

	// Read returns a Tail for each position, in their order, from one statement.
	// bytesMax bounds the payloads returned for each journal (one entry is returned even if larger).
	Read(ctx context.Context, positions []Position, bytesMax int) ([]Tail, error)

	// Snapshots returns the newest snapshot's place of each of the journals that has one.
	Snapshots(ctx context.Context, journals []JournalID) ([]SnapshotPlace, error)
	// PlaceSnapshot records a snapshot whose bytes are durable in the bucket. An older
	// version than the one placed is ignored. Refused with ErrTermEnded as Append is.
	// It returns the place it replaced, if any.
	PlaceSnapshot(ctx context.Context, term Term, place SnapshotPlace) (replaced *SnapshotPlace, err error)
	// Trim deletes at most rowsMax of the oldest entries with versions up to through,
	// never beyond the placed snapshot's version and never the newest entry, and
	// returns how many it deleted.
	Trim(ctx context.Context, journal JournalID, through Version, rowsMax int) (int, error)

	// BeginTerm begins a term whose lease expires after lease.
	BeginTerm(ctx context.Context, agent AgentInfo, lease time.Duration) (TermInfo, error)
	// RenewTerm moves the lease's end to lease from now, by the database's clock, and keeps the
	// highest settled that it was given (see TermInfo).
	// It never waits for an append. Refused with ErrTermEnded once ended or expired.
	RenewTerm(ctx context.Context, term Term, lease time.Duration, settled uint64) error
	// DrainTerm marks a term that is about to end; it appends and renews as before.
	// Refused with ErrTermEnded once ended or expired.
	DrainTerm(ctx context.Context, term Term) error
	// EndTerm ends a term for ever; when it returns nil, no append of the term can
	// land any more. Without force it ends only a term whose lease has expired by the
	// database's clock (and reports whether the term is ended now).
	EndTerm(ctx context.Context, term Term, force bool) (bool, error)
	// Terms lists the terms that have not ended, and of the ended ones those asked for.
	Terms(ctx context.Context, ended ...Term) ([]TermInfo, error)
	// PruneTerms deletes the rows of at most rowsMax terms, the oldest first, that
	// ended at least age ago, and returns how many. Those to keep, and the newest term
	// of all, stay. A term without a row is refused as an ended one is.
	PruneTerms(ctx context.Context, age time.Duration, keep []Term, rowsMax int) (int, error)

	// Now is the database's clock, by which leases run and producers expire.
	Now(ctx context.Context) (time.Time, error)

	// Cluster returns what was fixed when the cluster was made.
	Cluster() Cluster
	// ClaimBucket notes a name as that of the cluster's bucket, unless one is noted, and
	// returns what is: for ever the same. With no name it only looks; "" says that none is.
	ClaimBucket(ctx context.Context, name string) (noted string, err error)
	Close() error
}
