package journaltest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// file is a row of an archive file of topic 7, in partition 0.
func file(object string, first, last, maxTimestamp int64) metastore.ArchiveFile {
	return metastore.ArchiveFile{
		Topic: "flights", TopicID: "AAAAAAAAAAAAAAAAAAAAAQ", Number: 7, First: first, Last: last, Object: object, Rows: last - first + 1,
		Bytes: 900, MinTimestamp: maxTimestamp - 5, MaxTimestamp: maxTimestamp, Date: "2026-11-23", Hour: 14, Value: "json",
	}
}

// archived is an append's rows that archive offsets of partition 0 of topic 7 in shard 3.
func archived(expected, to int64, files ...metastore.ArchiveFile) metastore.Rows {
	r := metastore.Rows{Archived: []metastore.ArchivedRange{{Shard: 3, Topic: 7, Expected: expected, To: to}}, Files: files}
	for _, f := range files {
		r.Segments = append(r.Segments, metastore.SegmentRow{Object: f.Object, Size: f.Bytes})
	}
	return r
}

func wantFiles(t testing.TB, s metastore.Store, q metastore.ArchiveQuery, want string) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	found, err := s.ArchiveFiles(t.Context(), q)
	must(t, "read archive files", err)
	got := ""
	for _, f := range found {
		got += fmt.Sprintf("%d/%d-%d=%s ", f.Partition, f.First, f.Last, f.Object)
	}
	if got != want {
		t.Fatalf("%+v:\ngot  %s\nwant %s", q, got, want)
	}
}

func ofFlights() metastore.ArchiveQuery {
	return metastore.ArchiveQuery{Topic: "flights", After: metastore.ArchiveBegin()}
}

func archiveGoesWithEntries(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	f := file("a", 3, 9, 50)
	f.Partition, f.MinTimestamp = 2, -1
	appendRows(t, s.Store, term, archived(0, 10, f))
	found, err := s.Other.ArchiveFiles(t.Context(), metastore.ArchiveQuery{Topic: "flights", After: metastore.ArchiveBegin(), Limit: 1})
	must(t, "read archive files", err)
	if len(found) != 1 || found[0].Created.IsZero() {
		t.Fatalf("got %+v", found)
	}
	found[0].Created = time.Time{}
	if !reflect.DeepEqual(found[0], f) {
		t.Fatalf("got %+v, want %+v", found[0], f)
	}
	if head := Head(t, s.Store, metastore.ShardJournal(3)); head != 1 {
		t.Fatalf("head %d", head)
	}
	if segments, err := s.Other.Segments(t.Context(), "", 10); err != nil || len(segments) != 1 || segments[0].Size != 900 || !segments[0].Retired.IsZero() {
		t.Fatalf("segments %+v, %v", segments, err)
	}
	// A range may hold nothing but aborted records.
	appendRows(t, s.Store, term, archived(10, 15))
	appendRows(t, s.Store, term, archived(15, 20, file("b", 15, 19, 60)))
}

func archiveTaken(t *testing.T, s Subject) {
	term, ended := Begin(t, s.Store), Begin(t, s.Store)
	_, err := s.Store.EndTerm(t.Context(), ended, true)
	must(t, "end a term", err)
	appendRows(t, s.Store, term, archived(0, 10, file("a", 0, 9, 50)))
	must(t, "retire", s.Store.Retire(t.Context(), term, "orphan", []metastore.SegmentRow{object("x")}))
	two := archived(10, 20, file("b", 10, 19, 50))
	two.Archived = append(two.Archived, metastore.ArchivedRange{Shard: 3, Topic: 7, Partition: 1, Expected: 5, To: 9})
	for name, r := range map[string]metastore.Rows{
		"from the begin again":               archived(0, 10, file("b", 0, 9, 50)),
		"beyond where it is":                 archived(11, 20, file("b", 11, 19, 50)),
		"below":                              archived(9, 20, file("b", 9, 19, 50)),
		"an object that has a row":           archived(10, 20, file("a", 10, 19, 50)),
		"an object that awaits its deletion": archived(10, 20, file("x", 10, 19, 50)),
		"the second of two":                  two,
	} {
		if _, err := s.Store.AppendRows(t.Context(), term, ofShard3, r); !errors.Is(err, metastore.ErrRowsTaken) {
			t.Fatalf("%s: %v", name, err)
		}
		if head := Head(t, s.Store, metastore.ShardJournal(3)); head != 1 {
			t.Fatalf("%s: the head is %d", name, head)
		}
		wantFiles(t, s.Store, ofFlights(), "0/0-9=a ")
	}
	_, err = s.Store.AppendRows(t.Context(), ended, ofShard3, archived(10, 20, file("c", 10, 19, 50)))
	wantEnded(t, "archive", err)
	noRow := archived(10, 20, file("c", 10, 19, 50))
	noRow.Segments = nil
	_, err = s.Store.AppendRows(t.Context(), term, ofShard3, noRow)
	wantOther(t, "a file without a segment's row", err)
	_, err = s.Store.AppendRows(t.Context(), term, ofShard3, archived(10, 10))
	wantOther(t, "a range of nothing", err)
	_, err = s.Store.AppendRows(t.Context(), term, []metastore.AppendPart{Part(metastore.ShardJournal(2), "swap")}, archived(10, 20))
	wantOther(t, "a range of another shard", err)
	appendRows(t, s.Store, term, archived(10, 20, file("b", 10, 19, 50)))
	wantFiles(t, s.Store, ofFlights(), "0/0-9=a 0/10-19=b ")
}

func archiveQueries(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	other := file("d", 0, 5, 20)
	other.Partition = 1
	stranger := file("e", 0, 5, 10)
	stranger.Topic, stranger.Number = "trains", 8
	timeless := file("f", 6, 7, -1)
	appendRows(t, s.Store, term, archived(0, 10, file("b", 3, 9, 40), file("a", 0, 8, 30), other, stranger, timeless))
	a, b, d, f := "0/0-8=a ", "0/3-9=b ", "1/0-5=d ", "0/6-7=f "
	for _, c := range []struct {
		q    metastore.ArchiveQuery
		want string
	}{
		{ofFlights(), a + b + f + d},
		{metastore.ArchiveQuery{Topic: "flights", After: metastore.ArchiveBegin(), Limit: 2}, a + b},
		{metastore.ArchiveQuery{Topic: "flights", After: metastore.ArchiveKey{First: 3, Object: "b"}}, f + d},
		{metastore.ArchiveQuery{Topic: "ships", After: metastore.ArchiveBegin()}, ""},
		{metastore.ArchiveQuery{Expired: true, Number: 7, Before: 40}, d + a},
		{metastore.ArchiveQuery{Expired: true, Number: 7, Before: 41}, d + a + b},
		{metastore.ArchiveQuery{Expired: true, Number: 7, Before: 41, Limit: 1}, d},
		{metastore.ArchiveQuery{Expired: true, Number: 9, Before: 41}, ""},
	} {
		wantFiles(t, s.Store, c.q, c.want)
	}
}

func archiveRemoved(t *testing.T, s Subject) {
	term, ended := Begin(t, s.Store), Begin(t, s.Store)
	_, err := s.Store.EndTerm(t.Context(), ended, true)
	must(t, "end a term", err)
	appendRows(t, s.Store, term, archived(0, 10, file("a", 0, 4, 30), file("b", 5, 9, 40)))
	wantEnded(t, "remove", s.Store.RemoveArchiveFiles(t.Context(), ended, metastore.ReasonExpired, []string{"a"}))
	wantOther(t, "remove without a reason", s.Store.RemoveArchiveFiles(t.Context(), term, "", []string{"a"}))
	for range 2 {
		must(t, "remove", s.Store.RemoveArchiveFiles(t.Context(), term, metastore.ReasonExpired, []string{"a", "unknown"}))
	}
	wantFiles(t, s.Other, ofFlights(), "0/5-9=b ")
	retired, err := s.Store.Retired(t.Context(), 0, 10)
	must(t, "read retired", err)
	if len(retired) != 1 || retired[0].Object != "a" || retired[0].Reason != metastore.ReasonExpired {
		t.Fatalf("retired %+v", retired)
	}
	must(t, "collected", s.Store.Collected(t.Context(), term, []string{"a", "b"}))
	if segments, err := s.Store.Segments(t.Context(), "", 10); err != nil || len(segments) != 1 || segments[0].Object != "b" {
		t.Fatalf("segments %+v, %v", segments, err)
	}
	// What is archived stays archived.
	if _, err := s.Store.AppendRows(t.Context(), term, ofShard3, archived(0, 10)); !errors.Is(err, metastore.ErrRowsTaken) {
		t.Fatalf("archived again: %v", err)
	}
}
