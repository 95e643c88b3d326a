package metastore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

func TestDefaultCluster_IsValid(t *testing.T) {
	seen := make(map[string]bool)
	for range 500 {
		c := metastore.DefaultCluster()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if len(c.ID) != 22 || strings.HasPrefix(c.ID, "-") || seen[c.ID] {
			t.Fatalf("cluster id %q", c.ID)
		}
		seen[c.ID] = true
	}
}

func TestCluster_ValidateRefuses(t *testing.T) {
	for name, change := range map[string]func(c *metastore.Cluster){
		"no id":         func(c *metastore.Cluster) { c.ID = "" },
		"short id":      func(c *metastore.Cluster) { c.ID = c.ID[:21] },
		"no shards":     func(c *metastore.Cluster) { c.Shards = 0 },
		"many shards":   func(c *metastore.Cluster) { c.Shards = 1 << 24 },
		"no groups":     func(c *metastore.Cluster) { c.Groups = 0 },
		"transactions":  func(c *metastore.Cluster) { c.Transactions = -1 },
		"id of letters": func(c *metastore.Cluster) { c.ID = strings.Repeat("+", 22) },
	} {
		c := metastore.DefaultCluster()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

func TestCluster_Journals(t *testing.T) {
	c := metastore.Cluster{Shards: 3, Groups: 2, Transactions: 1}
	all := c.Journals()
	if len(all) != 7 {
		t.Fatalf("journals %v", all)
	}
	for i, j := range all {
		if i > 0 && j <= all[i-1] {
			t.Fatalf("journals %v do not rise", all)
		}
		if !c.Has(j) {
			t.Fatalf("has no %v", j)
		}
	}
	for _, j := range []metastore.JournalID{
		0, 5, metastore.CatalogJournal + 1, metastore.ShardJournal(3), metastore.GroupsJournal(2), metastore.TransactionsJournal(1), 5 << 24,
	} {
		if c.Has(j) {
			t.Fatalf("has %v", j)
		}
	}
}

func TestCounting_CountsEachMethod(t *testing.T) {
	ctx := t.Context()
	s := metastore.NewCounting(memory.New(time.Now, metastore.DefaultCluster()))
	defer s.Close()
	j := metastore.CatalogJournal
	parts := []metastore.AppendPart{{Journal: j, Payload: []byte("x")}, {Journal: metastore.ShardJournal(0), Payload: []byte("x")}}
	s.BeginTerm(ctx, metastore.AgentInfo{}, time.Hour)
	s.RenewTerm(ctx, 1, time.Hour, 0)
	s.Append(ctx, 1, parts)
	before := s.Statements()
	if _, err := s.Append(ctx, 2, parts); !errors.Is(err, metastore.ErrTermEnded) {
		t.Fatal(err)
	}
	s.Read(ctx, []metastore.Position{{Journal: j}}, 1)
	s.Snapshots(ctx, []metastore.JournalID{j})
	s.PlaceSnapshot(ctx, 1, metastore.SnapshotPlace{Journal: j, Version: 1})
	s.Trim(ctx, j, 1, 1)
	s.Terms(ctx)
	s.Now(ctx)
	s.EndTerm(ctx, 1, true)
	want := metastore.Statements{
		Append: 2, Read: 1, Snapshots: 1, PlaceSnapshot: 1, Trim: 1,
		BeginTerm: 1, RenewTerm: 1, EndTerm: 1, Terms: 1, Now: 1, Parts: 4,
	}
	if got := s.Statements(); got != want || got.Total() != 11 {
		t.Fatalf("counted %+v, want %+v", got, want)
	}
	if got := s.Statements().Since(before); got.Total() != 8 || got.Append != 1 || got.Parts != 2 {
		t.Fatalf("counted %+v since", got)
	}
}
