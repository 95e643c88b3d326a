package journaltest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// Subject is a fresh, empty cluster under test, with at least 8 shards, 1
// journal of groups and 1 of transactions.
type Subject struct {
	Store metastore.Store
	// Other is a second way to the same data, as another agent has; it may be Store itself.
	Other metastore.Store
	// LoseTail drops a journal's entries after a version behind the store's back.
	LoseTail func(t testing.TB, j metastore.JournalID, after metastore.Version)
}

// Run checks the store that open makes; it is called once for each subtest, and
// closes what it opened with t.Cleanup.
func Run(t *testing.T, open func(t testing.TB) Subject) {
	for _, c := range []struct {
		claim string
		check func(t *testing.T, s Subject)
	}{
		{"Append_VersionsAreGapless", versionsAreGapless},
		{"Append_ManyJournals", manyJournals},
		{"Append_StrictWins", strictWins},
		{"Append_StrictLostAppendsNothing", strictLostAppendsNothing},
		{"Append_SamePayloadAgain", samePayloadAgain},
		{"Append_KeepsNoReference", keepsNoReference},
		{"Append_RefusesBugs", refusesBugs},
		{"Append_LargestEntry", largestEntry},
		{"Append_CancelledBefore", cancelledBefore},
		{"Append_ConcurrentWriters", concurrentWriters},
		{"Append_ConcurrentStrict", concurrentStrict},
		{"Term_EndedRefuses", endedRefuses},
		{"Term_ExpiredRefuses", expiredRefuses},
		{"Term_UnknownRefuses", unknownRefuses},
		{"Term_RenewalMovesTheEnd", renewalMovesTheEnd},
		{"Term_SettledOnlyGrows", settledOnlyGrows},
		{"Term_EndWithoutForce", endWithoutForce},
		{"Term_EndFencesAppendsInFlight", endFencesAppendsInFlight},
		{"Term_NodesAreLowestFree", nodesAreLowestFree},
		{"Term_SeatsAreLowestFree", seatsAreLowestFree},
		{"Term_DrainingIsTold", drainingIsTold},
		{"Term_PruneRules", pruneRules},
		{"Term_ConcurrentBegins", concurrentBegins},
		{"Term_List", listTerms},
		{"Now_GoesOn", nowGoesOn},
		{"ClaimBucket_OneForEver", oneBucketForEver},
		{"Read_Empty", readEmpty},
		{"Read_BytesBound", readBytesBound},
		{"Read_ManyEntries", readManyEntries},
		{"Read_OrderOfPositions", readOrderOfPositions},
		{"Read_OneMoment", readOneMoment},
		{"Read_LostTailShows", lostTailShows},
		{"Snapshot_NewestReplaces", newestReplaces},
		{"Snapshot_OnlyThoseAsked", onlyThoseAsked},
		{"Snapshot_Refused", snapshotRefused},
		{"Trim_NeedsSnapshot", trimNeedsSnapshot},
		{"Trim_Rules", trimRules},
		{"Trim_WhileAppending", trimWhileAppending},
		{"LostTail_IsMarked", lostTailIsMarked},
		{"LostTail_TermsAreNotBegunAgain", lostTermsAreNotBegunAgain},
		{"Cluster_IsWhatItWasMadeWith", clusterIsKept},
		{"Rows_GoWithEntries", rowsGoWithEntries},
		{"Rows_Taken", rowsTaken},
		{"Rows_Replaced", rowsReplaced},
		{"Rows_RefusedWithParts", rowsRefusedWithParts},
		{"Rows_Queries", rowsQueries},
		{"Rows_TimesAfterRemoval", rowsTimesAfterRemoval},
		{"Rows_Retire", rowsRetire},
		{"Rows_OneOfManyMergers", rowsOneOfManyMergers},
		{"Archive_GoesWithEntries", archiveGoesWithEntries},
		{"Archive_Taken", archiveTaken},
		{"Archive_Queries", archiveQueries},
		{"Archive_Removed", archiveRemoved},
		{"Model_RandomCalls", randomCalls},
	} {
		t.Run(c.claim, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// Lease is one that does not expire within a test.
const Lease = time.Hour

// Begin begins a term that lives as long as the test.
func Begin(t testing.TB, s metastore.Store) metastore.Term {
	t.Helper()
	info, err := s.BeginTerm(t.Context(), metastore.AgentInfo{Process: "test", Zone: "a", KafkaHost: "localhost", KafkaPort: 9092}, Lease)
	if err != nil {
		t.Fatalf("begin a term: %v", err)
	}
	return info.Term
}

// Part is a routine part with a text as payload.
func Part(j metastore.JournalID, text string) metastore.AppendPart {
	return metastore.AppendPart{Journal: j, Payload: []byte(text)}
}

// StrictPart is a strict part with a text as payload.
func StrictPart(j metastore.JournalID, text string, expect metastore.Version) metastore.AppendPart {
	return metastore.AppendPart{Journal: j, Payload: []byte(text), Strict: true, Expect: expect}
}

// Append appends and must succeed.
func Append(t testing.TB, s metastore.Store, term metastore.Term, parts ...metastore.AppendPart) []metastore.Version {
	t.Helper()
	versions, err := s.Append(t.Context(), term, parts)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if len(versions) != len(parts) {
		t.Fatalf("append of %d parts gave %d versions", len(parts), len(versions))
	}
	return versions
}

// Head returns a journal's newest version.
func Head(t testing.TB, s metastore.Store, j metastore.JournalID) metastore.Version {
	t.Helper()
	return readOne(t, s, j, 0, 0).Head
}

// Entries returns every entry after a version as "version:payload", reading on
// until the head.
func Entries(t testing.TB, s metastore.Store, j metastore.JournalID, after metastore.Version) []string {
	t.Helper()
	var all []string
	for {
		tail := readOne(t, s, j, after, 1<<20)
		if tail.Trimmed {
			t.Fatalf("%v is trimmed after %d", j, after)
		}
		for _, e := range tail.Entries {
			all = append(all, fmt.Sprintf("%d:%s", e.Version, e.Payload))
			after = e.Version
		}
		if after >= tail.Head {
			return all
		}
	}
}

// readOne reads one journal and checks the form of the answer.
func readOne(t testing.TB, s metastore.Store, j metastore.JournalID, after metastore.Version, bytesMax int) metastore.Tail {
	t.Helper()
	tails, err := s.Read(t.Context(), []metastore.Position{{Journal: j, After: after}}, bytesMax)
	if err != nil {
		t.Fatalf("read %v after %d: %v", j, after, err)
	}
	if len(tails) != 1 {
		t.Fatalf("read of one position gave %d tails", len(tails))
	}
	checkTail(t, tails[0], metastore.Position{Journal: j, After: after}, bytesMax)
	return tails[0]
}

// checkTail checks what holds for every Tail.
func checkTail(t testing.TB, tail metastore.Tail, p metastore.Position, bytesMax int) {
	t.Helper()
	if tail.Journal != p.Journal {
		t.Fatalf("tail of %v where %v was asked", tail.Journal, p.Journal)
	}
	if tail.Trimmed && len(tail.Entries) > 0 {
		t.Fatalf("%v after %d: trimmed, with %d entries", p.Journal, p.After, len(tail.Entries))
	}
	if !tail.Trimmed && tail.Head > p.After && len(tail.Entries) == 0 {
		t.Fatalf("%v after %d: no entries, though the head is %d", p.Journal, p.After, tail.Head)
	}
	size := 0
	for i, e := range tail.Entries {
		if e.Version != p.After+1+metastore.Version(i) {
			t.Fatalf("%v after %d: entry %d has version %d", p.Journal, p.After, i, e.Version)
		}
		if e.Version > tail.Head {
			t.Fatalf("%v: version %d is beyond the head %d", p.Journal, e.Version, tail.Head)
		}
		size += len(e.Payload)
	}
	if size > bytesMax && len(tail.Entries) > 1 {
		t.Fatalf("%v after %d: %d bytes in %d entries, the bound is %d", p.Journal, p.After, size, len(tail.Entries), bytesMax)
	}
}

func wantEnded(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, metastore.ErrTermEnded) {
		t.Fatalf("%s: error %v, not ErrTermEnded", what, err)
	}
}

// wantOther demands an error that refuses nothing by itself.
func wantOther(t testing.TB, what string, err error) {
	t.Helper()
	var lost *metastore.StrictLostError
	if err == nil || errors.Is(err, metastore.ErrTermEnded) || errors.As(err, &lost) {
		t.Fatalf("%s: error %v, where neither success nor a refusal fits", what, err)
	}
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// appendWith is Append without a test to fail, for goroutines.
func appendWith(ctx context.Context, s metastore.Store, term metastore.Term, parts ...metastore.AppendPart) error {
	_, err := s.Append(ctx, term, parts)
	return err
}
