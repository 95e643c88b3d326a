package metastore

import (
	"context"
	"sync/atomic"
	"time"
)

// Counting counts the calls to a Store. On Postgres each is one statement.
type Counting struct {
	store Store
	n     struct {
		appends, reads, snapshots, placeSnapshots, trims          atomic.Int64
		beginTerms, renewTerms, endTerms, terms, nows, partsAdded atomic.Int64
		drainTerms, pruneTerms, tables                            atomic.Int64
	}
}

// Statements are the calls counted, by method. Failed ones count too.
type Statements struct {
	Append, Read, Snapshots, PlaceSnapshot, Trim int64
	BeginTerm, RenewTerm, EndTerm, Terms, Now    int64
	DrainTerm, PruneTerms                        int64
	Tables                                       int64 // of the tables of extents and segments
	Parts                                        int64 // entries that appends asked for; not statements
}

// Total is the number of statements.
func (s Statements) Total() int64 {
	return s.Append + s.Read + s.Snapshots + s.PlaceSnapshot + s.Trim +
		s.BeginTerm + s.RenewTerm + s.EndTerm + s.Terms + s.Now + s.DrainTerm + s.PruneTerms + s.Tables
}

// Since returns what was counted after an earlier count.
func (s Statements) Since(e Statements) Statements {
	return Statements{
		Append: s.Append - e.Append, Read: s.Read - e.Read, Snapshots: s.Snapshots - e.Snapshots,
		PlaceSnapshot: s.PlaceSnapshot - e.PlaceSnapshot, Trim: s.Trim - e.Trim,
		BeginTerm: s.BeginTerm - e.BeginTerm, RenewTerm: s.RenewTerm - e.RenewTerm,
		EndTerm: s.EndTerm - e.EndTerm, Terms: s.Terms - e.Terms, Now: s.Now - e.Now, DrainTerm: s.DrainTerm - e.DrainTerm, PruneTerms: s.PruneTerms - e.PruneTerms, Parts: s.Parts - e.Parts, Tables: s.Tables - e.Tables,
	}
}

var _ Store = (*Counting)(nil)

// NewCounting wraps s.
func NewCounting(s Store) *Counting { return &Counting{store: s} }

// Statements returns the counts so far.
func (c *Counting) Statements() Statements {
	return Statements{
		Append: c.n.appends.Load(), Read: c.n.reads.Load(), Snapshots: c.n.snapshots.Load(),
		PlaceSnapshot: c.n.placeSnapshots.Load(), Trim: c.n.trims.Load(),
		BeginTerm: c.n.beginTerms.Load(), RenewTerm: c.n.renewTerms.Load(),
		EndTerm: c.n.endTerms.Load(), Terms: c.n.terms.Load(), Now: c.n.nows.Load(),
		DrainTerm: c.n.drainTerms.Load(), PruneTerms: c.n.pruneTerms.Load(), Parts: c.n.partsAdded.Load(), Tables: c.n.tables.Load(),
	}
}

var _ Mover = (*Counting)(nil)

// Origin implements Mover for a Store that does.
func (c *Counting) Origin() string {
	if m, ok := c.store.(Mover); ok {
		return m.Origin()
	}
	return ""
}

// Pushed implements Mover for a Store that does.
func (c *Counting) Pushed(origin string, journal JournalID, version Version) bool {
	m, ok := c.store.(Mover)
	return !ok || m.Pushed(origin, journal, version)
}

// Append implements Store.
func (c *Counting) Append(ctx context.Context, term Term, parts []AppendPart) ([]Version, error) {
	c.n.appends.Add(1)
	c.n.partsAdded.Add(int64(len(parts)))
	return c.store.Append(ctx, term, parts)
}

// AppendRows implements Store.
func (c *Counting) AppendRows(ctx context.Context, term Term, parts []AppendPart, rows Rows) ([]Version, error) {
	c.n.appends.Add(1)
	c.n.partsAdded.Add(int64(len(parts)))
	return c.store.AppendRows(ctx, term, parts, rows)
}

// Extents implements Store.
func (c *Counting) Extents(ctx context.Context, q ExtentQuery) ([]ExtentRow, error) {
	c.n.tables.Add(1)
	return c.store.Extents(ctx, q)
}

// ExtentTopics implements Store.
func (c *Counting) ExtentTopics(ctx context.Context, after uint64, limit int) ([]uint64, error) {
	c.n.tables.Add(1)
	return c.store.ExtentTopics(ctx, after, limit)
}

// Retire implements Store.
func (c *Counting) Retire(ctx context.Context, term Term, reason string, objects []SegmentRow) error {
	c.n.tables.Add(1)
	return c.store.Retire(ctx, term, reason, objects)
}

// Retired implements Store.
func (c *Counting) Retired(ctx context.Context, age time.Duration, limit int) ([]SegmentRow, error) {
	c.n.tables.Add(1)
	return c.store.Retired(ctx, age, limit)
}

// Collected implements Store.
func (c *Counting) Collected(ctx context.Context, term Term, objects []string) error {
	c.n.tables.Add(1)
	return c.store.Collected(ctx, term, objects)
}

// Segments implements Store.
func (c *Counting) Segments(ctx context.Context, after string, limit int) ([]SegmentRow, error) {
	c.n.tables.Add(1)
	return c.store.Segments(ctx, after, limit)
}

// ArchiveFiles implements Store.
func (c *Counting) ArchiveFiles(ctx context.Context, q ArchiveQuery) ([]ArchiveFile, error) {
	c.n.tables.Add(1)
	return c.store.ArchiveFiles(ctx, q)
}

// RemoveArchiveFiles implements Store.
func (c *Counting) RemoveArchiveFiles(ctx context.Context, term Term, reason string, objects []string) error {
	c.n.tables.Add(1)
	return c.store.RemoveArchiveFiles(ctx, term, reason, objects)
}

// Read implements Store.
func (c *Counting) Read(ctx context.Context, positions []Position, bytesMax int) ([]Tail, error) {
	c.n.reads.Add(1)
	return c.store.Read(ctx, positions, bytesMax)
}

// Snapshots implements Store.
func (c *Counting) Snapshots(ctx context.Context, journals []JournalID) ([]SnapshotPlace, error) {
	c.n.snapshots.Add(1)
	return c.store.Snapshots(ctx, journals)
}

// PlaceSnapshot implements Store.
func (c *Counting) PlaceSnapshot(ctx context.Context, term Term, place SnapshotPlace) (*SnapshotPlace, error) {
	c.n.placeSnapshots.Add(1)
	return c.store.PlaceSnapshot(ctx, term, place)
}

// Trim implements Store.
func (c *Counting) Trim(ctx context.Context, journal JournalID, through Version, rowsMax int) (int, error) {
	c.n.trims.Add(1)
	return c.store.Trim(ctx, journal, through, rowsMax)
}

// BeginTerm implements Store.
func (c *Counting) BeginTerm(ctx context.Context, agent AgentInfo, lease time.Duration) (TermInfo, error) {
	c.n.beginTerms.Add(1)
	return c.store.BeginTerm(ctx, agent, lease)
}

// RenewTerm implements Store.
func (c *Counting) RenewTerm(ctx context.Context, term Term, lease time.Duration, settled uint64) error {
	c.n.renewTerms.Add(1)
	return c.store.RenewTerm(ctx, term, lease, settled)
}

// DrainTerm implements Store.
func (c *Counting) DrainTerm(ctx context.Context, term Term) error {
	c.n.drainTerms.Add(1)
	return c.store.DrainTerm(ctx, term)
}

// PruneTerms implements Store.
func (c *Counting) PruneTerms(ctx context.Context, age time.Duration, keep []Term, rowsMax int) (int, error) {
	c.n.pruneTerms.Add(1)
	return c.store.PruneTerms(ctx, age, keep, rowsMax)
}

// EndTerm implements Store.
func (c *Counting) EndTerm(ctx context.Context, term Term, force bool) (bool, error) {
	c.n.endTerms.Add(1)
	return c.store.EndTerm(ctx, term, force)
}

// Terms implements Store.
func (c *Counting) Terms(ctx context.Context, ended ...Term) ([]TermInfo, error) {
	c.n.terms.Add(1)
	return c.store.Terms(ctx, ended...)
}

// Now implements Store.
func (c *Counting) Now(ctx context.Context) (time.Time, error) {
	c.n.nows.Add(1)
	return c.store.Now(ctx)
}

// ClaimBucket implements Store. It is called once, before anything is counted.
func (c *Counting) ClaimBucket(ctx context.Context, name string) (string, error) {
	return c.store.ClaimBucket(ctx, name)
}

// Cluster implements Store.
func (c *Counting) Cluster() Cluster { return c.store.Cluster() }

// Close implements Store.
func (c *Counting) Close() error { return c.store.Close() }
