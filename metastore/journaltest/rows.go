package journaltest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

// extent is a row of partition 0 of topic 7 in shard 3.
func extent(object string, base, end, maxTimestamp int64) metastore.ExtentRow {
	return metastore.ExtentRow{
		Shard: 3, Topic: 7, Base: base, End: end, Object: object, Position: 32 + base, Length: 100 * (end - base),
		Records: end - base, MaxTimestamp: maxTimestamp, Index: []byte(object),
	}
}

func object(name string) metastore.SegmentRow { return metastore.SegmentRow{Object: name, Size: 1000} }

// rows is an append's rows of one new segment.
func rows(name string, extents ...metastore.ExtentRow) metastore.Rows {
	return metastore.Rows{Segments: []metastore.SegmentRow{object(name)}, Extents: extents}
}

var ofShard3 = []metastore.AppendPart{Part(metastore.ShardJournal(3), "swap")}

func appendRows(t testing.TB, s metastore.Store, term metastore.Term, r metastore.Rows) {
	t.Helper()
	_, err := s.AppendRows(t.Context(), term, ofShard3, r)
	must(t, "append with rows", err)
}

// shown is what is compared of rows: bases, ends and objects.
func shown(found []metastore.ExtentRow) string {
	text := ""
	for _, e := range found {
		text += fmt.Sprintf("%d/%d:%d-%d=%s ", e.Topic, e.Partition, e.Base, e.End, e.Object)
	}
	return text
}

func wantExtents(t testing.TB, s metastore.Store, q metastore.ExtentQuery, want string) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	found, err := s.Extents(t.Context(), q)
	must(t, "read extents", err)
	if got := shown(found); got != want {
		t.Fatalf("%+v:\ngot  %s\nwant %s", q, got, want)
	}
}

func ofPartition(order metastore.ExtentOrder) metastore.ExtentQuery {
	return metastore.ExtentQuery{Order: order, Topic: 7}
}

func rowsGoWithEntries(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	e := extent("a", 10, 20, 5)
	e.Partition = 2
	appendRows(t, s.Store, term, rows("a", e))
	found, err := s.Other.Extents(t.Context(), metastore.ExtentQuery{Topic: 7, Partition: 2, Limit: 1})
	must(t, "read extents", err)
	if len(found) != 1 || !reflect.DeepEqual(found[0], e) {
		t.Fatalf("got %+v, want %+v", found, e)
	}
	if head := Head(t, s.Store, metastore.ShardJournal(3)); head != 1 {
		t.Fatalf("head %d", head)
	}
	segments, err := s.Other.Segments(t.Context(), "", 10)
	must(t, "read segments", err)
	if len(segments) != 1 || segments[0].Object != "a" || segments[0].Size != 1000 || segments[0].Created.IsZero() || !segments[0].Retired.IsZero() {
		t.Fatalf("segments %+v", segments)
	}
}

func rowsTaken(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	appendRows(t, s.Store, term, rows("a", extent("a", 10, 20, 5), extent("a", 30, 40, 6)))
	late := rows("b", extent("b", 20, 30, 5))
	late.By = time.Unix(1, 0)
	for name, r := range map[string]metastore.Rows{
		"later than it may be":   late,
		"the same offsets":       rows("b", extent("b", 10, 20, 5)),
		"the same base":          rows("b", extent("b", 10, 12, 5)),
		"over the begin of one":  rows("b", extent("b", 5, 11, 5)),
		"over the end of one":    rows("b", extent("b", 19, 25, 5)),
		"inside one":             rows("b", extent("b", 12, 15, 5)),
		"around all":             rows("b", extent("b", 0, 100, 5)),
		"overlapping each other": rows("b", extent("b", 50, 60, 5), extent("b", 55, 65, 5)),
		"the second of two":      rows("b", extent("b", 20, 30, 5), extent("b", 39, 41, 5)),
		"a segment with a row":   rows("a", extent("a", 50, 60, 5)),
		"one removed that isn't there": {Segments: []metastore.SegmentRow{object("b")},
			Removed: []metastore.ExtentKey{{Shard: 3, Topic: 7, Base: 20, Object: "a"}}, Extents: []metastore.ExtentRow{extent("b", 20, 30, 5)}},
		"one removed of another segment": {Segments: []metastore.SegmentRow{object("b")},
			Removed: []metastore.ExtentKey{{Shard: 3, Topic: 7, Base: 10, Object: "c"}}, Extents: []metastore.ExtentRow{extent("b", 10, 20, 5)}},
	} {
		if _, err := s.Store.AppendRows(t.Context(), term, ofShard3, r); !errors.Is(err, metastore.ErrRowsTaken) {
			t.Fatalf("%s: %v", name, err)
		}
		if head := Head(t, s.Store, metastore.ShardJournal(3)); head != 1 {
			t.Fatalf("%s: the head is %d", name, head)
		}
		wantExtents(t, s.Store, ofPartition(metastore.ByOffset), "7/0:10-20=a 7/0:30-40=a ")
		if segments, err := s.Store.Segments(t.Context(), "", 10); err != nil || len(segments) != 1 {
			t.Fatalf("%s: segments %+v, %v", name, segments, err)
		}
	}
	// Beside them there is room, and other partitions are others.
	other := extent("b", 10, 20, 5)
	other.Partition = 1
	appendRows(t, s.Store, term, rows("b", extent("b", 20, 30, 5), extent("b", 0, 10, 5), extent("b", 40, 41, 1), other))
	wantExtents(t, s.Store, ofPartition(metastore.ByOffset), "7/0:0-10=b 7/0:10-20=a 7/0:20-30=b 7/0:30-40=a 7/0:40-41=b ")
}

func rowsReplaced(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	appendRows(t, s.Store, term, rows("a", extent("a", 10, 20, 5), extent("a", 20, 30, 9)))
	appendRows(t, s.Store, term, rows("b", extent("b", 30, 40, 6)))
	replaced := rows("c", extent("c", 20, 40, 9))
	replaced.Removed = []metastore.ExtentKey{{Shard: 3, Topic: 7, Base: 20, Object: "a"}, {Shard: 3, Topic: 7, Base: 30, Object: "b"}}
	appendRows(t, s.Store, term, replaced)
	wantExtents(t, s.Store, ofPartition(metastore.ByOffset), "7/0:10-20=a 7/0:20-40=c ")
	retired, err := s.Other.Retired(t.Context(), 0, 10)
	must(t, "read retired", err)
	if len(retired) != 1 || retired[0].Object != "b" || retired[0].Reason != metastore.ReasonReplaced {
		t.Fatalf("retired %+v", retired)
	}
	gone := metastore.Rows{Removed: []metastore.ExtentKey{{Shard: 3, Topic: 7, Base: 10, Object: "a"}, {Shard: 3, Topic: 7, Base: 20, Object: "c"}}}
	appendRows(t, s.Store, term, gone)
	if _, err := s.Store.AppendRows(t.Context(), term, ofShard3, gone); !errors.Is(err, metastore.ErrRowsTaken) {
		t.Fatalf("removed twice: %v", err)
	}
	wantExtents(t, s.Store, ofPartition(metastore.ByOffset), "")
	if retired, err = s.Store.Retired(t.Context(), 0, 10); err != nil || len(retired) != 3 {
		t.Fatalf("retired %+v, %v", retired, err)
	}
	if retired, err = s.Store.Retired(t.Context(), time.Hour, 10); err != nil || len(retired) != 0 {
		t.Fatalf("retired an hour ago: %+v, %v", retired, err)
	}
	must(t, "collected", s.Store.Collected(t.Context(), term, []string{"a", "c", "unknown"}))
	if retired, err = s.Store.Retired(t.Context(), 0, 10); err != nil || len(retired) != 1 || retired[0].Object != "b" {
		t.Fatalf("retired %+v, %v", retired, err)
	}
}

func rowsRefusedWithParts(t *testing.T, s Subject) {
	term, ended := Begin(t, s.Store), Begin(t, s.Store)
	_, err := s.Store.EndTerm(t.Context(), ended, true)
	must(t, "end a term", err)
	r := rows("a", extent("a", 10, 20, 5))
	_, err = s.Store.AppendRows(t.Context(), ended, ofShard3, r)
	wantEnded(t, "append with rows", err)
	wantEnded(t, "retire", s.Store.Retire(t.Context(), ended, "orphan", []metastore.SegmentRow{object("x")}))
	wantEnded(t, "collected", s.Store.Collected(t.Context(), ended, []string{"x"}))
	var lost *metastore.StrictLostError
	strict := []metastore.AppendPart{StrictPart(metastore.ShardJournal(3), "swap", 4)}
	if _, err = s.Store.AppendRows(t.Context(), term, strict, r); !errors.As(err, &lost) || lost.Head != 0 {
		t.Fatalf("strict: %v", err)
	}
	bad := rows("a", extent("a", 20, 20, 5))
	_, err = s.Store.AppendRows(t.Context(), term, ofShard3, bad)
	wantOther(t, "an extent of no offsets", err)
	_, err = s.Store.AppendRows(t.Context(), term, []metastore.AppendPart{Part(metastore.ShardJournal(2), "swap")}, r)
	wantOther(t, "a row of another shard", err)
	wantExtents(t, s.Store, ofPartition(metastore.ByOffset), "")
	if segments, err := s.Store.Segments(t.Context(), "", 10); err != nil || len(segments) != 0 {
		t.Fatalf("segments %+v, %v", segments, err)
	}
}

func rowsQueries(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	other := extent("a", 0, 5, 1)
	other.Topic, other.Partition = 9, 1
	large := extent("a", 30, 40, 30)
	large.Length = metastore.SmallExtentBytes
	elsewhere := extent("b", 0, 5, 1)
	elsewhere.Shard, elsewhere.Topic = 4, 8
	appendRows(t, s.Store, term, rows("a", extent("a", 10, 20, 50), extent("a", 20, 30, 40), large, extent("a", 50, 60, 60), other))
	_, err := s.Store.AppendRows(t.Context(), term, []metastore.AppendPart{Part(metastore.ShardJournal(4), "swap")}, rows("b", elsewhere))
	must(t, "append with rows", err)
	const p10, p20, p30, p50 = "7/0:10-20=a ", "7/0:20-30=a ", "7/0:30-40=a ", "7/0:50-60=a "
	const t8, t9 = "8/0:0-5=b ", "9/1:0-5=a "
	for _, c := range []struct {
		q    metastore.ExtentQuery
		want string
	}{
		{metastore.ExtentQuery{Topic: 7, Offset: 0}, p10 + p20 + p30 + p50},
		{metastore.ExtentQuery{Topic: 7, Offset: 19}, p10 + p20 + p30 + p50},
		{metastore.ExtentQuery{Topic: 7, Offset: 20}, p20 + p30 + p50},
		{metastore.ExtentQuery{Topic: 7, Offset: 20, Limit: 2}, p20 + p30},
		{metastore.ExtentQuery{Topic: 7, Offset: 45}, p50},
		{metastore.ExtentQuery{Topic: 7, Offset: 60}, ""},
		{metastore.ExtentQuery{Topic: 7, Partition: 1}, ""},
		{metastore.ExtentQuery{Order: metastore.BySince, Topic: 7, Timestamp: 0}, p10 + p20 + p30 + p50},
		{metastore.ExtentQuery{Order: metastore.BySince, Topic: 7, Timestamp: 50, Limit: 1}, p10},
		{metastore.ExtentQuery{Order: metastore.BySince, Topic: 7, Timestamp: 51}, p50},
		{metastore.ExtentQuery{Order: metastore.BySince, Topic: 7, Timestamp: 61}, ""},
		{metastore.ExtentQuery{Order: metastore.ByLatest, Topic: 7, Limit: 2}, p50 + p10},
		{metastore.ExtentQuery{Order: metastore.Small, Shard: 3, After: metastore.ExtentsBegin()}, p10 + p20 + p50 + t9},
		{metastore.ExtentQuery{Order: metastore.Small, Shard: 3, After: metastore.ExtentKey{Topic: 7, Base: 20}}, p50 + t9},
		{metastore.ExtentQuery{Order: metastore.Small, Shard: 5, After: metastore.ExtentsBegin()}, ""},
		{metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentsBegin()}, p10 + p20 + p30 + p50 + t8 + t9},
		{metastore.ExtentQuery{Order: metastore.Every, After: metastore.ExtentKey{Topic: 7, Base: 50}, Limit: 1}, t8},
	} {
		wantExtents(t, s.Store, c.q, c.want)
	}
	for _, c := range []struct {
		after uint64
		limit int
		want  []uint64
	}{{0, 10, []uint64{7, 8, 9}}, {7, 1, []uint64{8}}, {9, 5, nil}, {0, 0, nil}} {
		got, err := s.Store.ExtentTopics(t.Context(), c.after, c.limit)
		must(t, "list topics", err)
		if !reflect.DeepEqual(got, c.want) {
			t.Fatalf("topics after %d: %v", c.after, got)
		}
	}
}

// A time is found although what had a later one before it was removed.
func rowsTimesAfterRemoval(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	appendRows(t, s.Store, term, rows("a", extent("a", 0, 10, 90), extent("a", 10, 20, 10)))
	appendRows(t, s.Store, term, metastore.Rows{Removed: []metastore.ExtentKey{{Shard: 3, Topic: 7, Object: "a"}}})
	appendRows(t, s.Store, term, rows("b", extent("b", 20, 30, 95)))
	since := ofPartition(metastore.BySince)
	since.Timestamp = 80 // none below the first row returned may reach it; that one need not
	found, err := s.Store.Extents(t.Context(), metastore.ExtentQuery{Order: since.Order, Topic: 7, Timestamp: 80, Limit: 10})
	must(t, "read extents", err)
	if len(found) == 0 || found[len(found)-1].Base != 20 {
		t.Fatalf("found %s", shown(found))
	}
	since.Timestamp = 10
	wantExtents(t, s.Store, since, "7/0:10-20=a 7/0:20-30=b ")
}

func rowsRetire(t *testing.T, s Subject) {
	term := Begin(t, s.Store)
	appendRows(t, s.Store, term, rows("live", extent("live", 0, 10, 90)))
	for range 2 { // again: an object that has a row keeps it
		must(t, "retire", s.Store.Retire(t.Context(), term, "orphan", []metastore.SegmentRow{object("x"), object("live")}))
	}
	retired, err := s.Store.Retired(t.Context(), 0, 10)
	must(t, "read retired", err)
	if len(retired) != 1 || retired[0].Object != "x" || retired[0].Reason != "orphan" || retired[0].Size != 1000 {
		t.Fatalf("retired %+v", retired)
	}
	must(t, "collected", s.Store.Collected(t.Context(), term, []string{"x", "live"}))
	segments, err := s.Store.Segments(t.Context(), "", 10)
	must(t, "read segments", err)
	if len(segments) != 1 || segments[0].Object != "live" {
		t.Fatalf("segments %+v", segments)
	}
	if more, err := s.Store.Segments(t.Context(), "live", 10); err != nil || len(more) != 0 {
		t.Fatalf("after the last: %+v, %v", more, err)
	}
	wantOther(t, "retire without a reason", s.Store.Retire(t.Context(), term, "", nil))
	// An object that waits for its deletion takes no extents.
	must(t, "retire", s.Store.Retire(t.Context(), term, "orphan", []metastore.SegmentRow{object("y")}))
	if _, err := s.Store.AppendRows(t.Context(), term, ofShard3, rows("y", extent("y", 10, 20, 5))); !errors.Is(err, metastore.ErrRowsTaken) {
		t.Fatalf("extents of a retired segment: %v", err)
	}
}

func rowsOneOfManyMergers(t *testing.T, s Subject) {
	const mergers, rounds = 6, 8
	terms := make([]metastore.Term, mergers)
	for i := range terms {
		terms[i] = Begin(t, s.Store)
	}
	for round := range rounds {
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range mergers {
			wg.Go(func() {
				store := s.Store
				if i%2 == 1 {
					store = s.Other
				}
				name := fmt.Sprintf("%d-%d", round, i)
				base := int64(round * 10)
				_, err := store.AppendRows(t.Context(), terms[i], ofShard3, rows(name, extent(name, base, base+5+int64(i%5), 1)))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, metastore.ErrRowsTaken):
					t.Errorf("merger %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d mergers won", round, won.Load())
		}
	}
	if head := Head(t, s.Store, metastore.ShardJournal(3)); head != rounds {
		t.Fatalf("%d entries of %d swaps", head, rounds)
	}
}
