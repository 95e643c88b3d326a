package metastore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// ErrNewerSchema refuses a database that a newer release has migrated: this one
// does not know what it would break.
var ErrNewerSchema = errors.New("the metastore was written by a newer release of Wadi")

// ErrForeignSchema refuses a database that holds something other than a metastore.
var ErrForeignSchema = errors.New("this is not a metastore of Wadi")

// ErrUnreachable is in errors of a store that can't be used now but may be later, with
// nothing changed about this process: its server is down, starts, is full or a standby.
// It says nothing about what became of an append.
var ErrUnreachable = errors.New("the metastore can't be reached")

// journalsMax bounds the journals of one kind in a cluster.
const journalsMax = 4096

// DefaultCluster returns what a new cluster is made with: a random id, 64
// shards, 16 journals of groups and 16 of transactions.
func DefaultCluster() Cluster {
	return Cluster{ID: newClusterID(), Shards: 64, Groups: 16, Transactions: 16}
}

// newClusterID returns a random UUID (version 4) in Kafka's form. Like Kafka's
// own it never begins with a dash, which command lines would take for a flag.
func newClusterID() string {
	for {
		var id [16]byte
		rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if s := base64.RawURLEncoding.EncodeToString(id[:]); s[0] != '-' {
			return s
		}
	}
}

// Validate tells what is wrong with the settings of a new cluster.
func (c Cluster) Validate() error {
	if id, err := base64.RawURLEncoding.DecodeString(c.ID); err != nil || len(id) != 16 {
		return fmt.Errorf("cluster id %q is not 22 characters of URL-safe base64", c.ID)
	}
	for _, n := range []struct {
		name  string
		count int
	}{{"shards", c.Shards}, {"group journals", c.Groups}, {"transaction journals", c.Transactions}} {
		if n.count < 1 || n.count > journalsMax {
			return fmt.Errorf("%d %s: must be 1 to %d", n.count, n.name, journalsMax)
		}
	}
	return nil
}

// Journals returns every journal of the cluster, ascending.
func (c Cluster) Journals() []JournalID {
	all := make([]JournalID, 0, 1+c.Shards+c.Groups+c.Transactions)
	all = append(all, CatalogJournal)
	for i := range c.Shards {
		all = append(all, ShardJournal(i))
	}
	for i := range c.Groups {
		all = append(all, GroupsJournal(i))
	}
	for i := range c.Transactions {
		all = append(all, TransactionsJournal(i))
	}
	return all
}

// Has tells whether the cluster has the journal.
func (c Cluster) Has(j JournalID) bool {
	i := int(j & 0xffffff)
	switch j >> 24 {
	case kindCatalog:
		return i == 0
	case kindShard:
		return i < c.Shards
	case kindGroups:
		return i < c.Groups
	case kindTransactions:
		return i < c.Transactions
	}
	return false
}

// Check refuses journals that the cluster does not have. Naming one is a bug of the caller.
func (c Cluster) Check(journals ...JournalID) error {
	for _, j := range journals {
		if !c.Has(j) {
			return fmt.Errorf("the cluster has no journal %v", j)
		}
	}
	return nil
}

// CheckParts refuses an append that no store can take: no parts, a journal
// unknown or named twice, an empty payload or one over EntryBytesMax. Such a
// call is a bug of the caller.
func (c Cluster) CheckParts(parts []AppendPart) error {
	if len(parts) == 0 {
		return errors.New("append of no parts")
	}
	seen := make(map[JournalID]struct{}, len(parts))
	for _, p := range parts {
		if err := c.Check(p.Journal); err != nil {
			return err
		}
		if _, twice := seen[p.Journal]; twice {
			return fmt.Errorf("append names %v twice", p.Journal)
		}
		seen[p.Journal] = struct{}{}
		if len(p.Payload) == 0 || len(p.Payload) > EntryBytesMax {
			return fmt.Errorf("append of %d bytes to %v: must be 1 to %d", len(p.Payload), p.Journal, EntryBytesMax)
		}
	}
	return nil
}
