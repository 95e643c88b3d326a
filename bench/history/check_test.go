package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// verdict judges a history written as lines, and returns the kinds found, with
// their counts where they aren't 1, and the story.
func verdict(t *testing.T, header, lines string) (kinds, story string) {
	t.Helper()
	text := header + "\n" + lines
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Check(r.Header, r.Events())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, k := range slices.Sorted(maps.Keys(report.Counts)) {
		if n := report.Counts[k]; n != 1 {
			found = append(found, fmt.Sprint(n, " ", k))
		} else {
			found = append(found, string(k))
		}
	}
	r, _ = NewReader(strings.NewReader(text))
	var b strings.Builder
	if err := report.Tell(&b, r.Events()); err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, ", "), b.String()
}

const plainHeader = `{"history":1}`

// Short forms for the tables below.
func sent(process, state, key, value string, offset int) string {
	at := ""
	if offset >= 0 {
		at = fmt.Sprintf(`,"offset":%d`, offset)
	}
	return fmt.Sprintf(`{"process":%q,"type":%q,"f":"send","ops":[{"send":%q,"value":%q%s}]}`, process, state, key, value, at)
}

func invoked(process, key string, values ...string) string {
	var ops []string
	for _, v := range values {
		ops = append(ops, fmt.Sprintf(`{"send":%q,"value":%q}`, key, v))
	}
	return fmt.Sprintf(`{"process":%q,"type":"invoke","f":"send","ops":[%s]}`, process, strings.Join(ops, ","))
}

// polled takes records as "0a 1b".
func polled(process, key, records string) string {
	return fmt.Sprintf(`{"process":%q,"type":"ok","f":"poll","ops":[{"poll":{%q:%s}}]}`, process, key, pairs(records))
}

func pairs(records string) string {
	var list []string
	for _, r := range strings.Fields(records) {
		cut := strings.IndexFunc(r, func(c rune) bool { return c < '0' || c > '9' })
		list = append(list, fmt.Sprintf("[%s,%q]", r[:cut], r[cut:]))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// txn takes ops as ">k a 5" (a send at offset 5), ">k a" and "<k 0a 1b" (a poll).
func txn(process, state string, ops ...string) string {
	var list []string
	for _, op := range ops {
		words := strings.Fields(op[1:])
		switch {
		case op[0] == '<':
			list = append(list, fmt.Sprintf(`{"poll":{%q:%s}}`, words[0], pairs(strings.Join(words[1:], " "))))
		case len(words) == 3:
			list = append(list, fmt.Sprintf(`{"send":%q,"value":%q,"offset":%s}`, words[0], words[1], words[2]))
		default:
			list = append(list, fmt.Sprintf(`{"send":%q,"value":%q}`, words[0], words[1]))
		}
	}
	return fmt.Sprintf(`{"process":%q,"type":%q,"f":"txn","ops":[%s]}`, process, state, strings.Join(list, ","))
}

func event(process, f string, rest string) string {
	return fmt.Sprintf(`{"process":%q,"type":"ok","f":%q%s}`, process, f, rest)
}

func gap(first, last int, why Why) string {
	return fmt.Sprintf(`{"f":"hole","key":"k","first":%d,"last":%d,"why":%q}`, first, last, why)
}

// abc is three acknowledged values; all is a poll of them by somebody.
var (
	abc = sent("p", "ok", "k", "a", 0) + sent("p", "ok", "k", "b", 1) + sent("p", "ok", "k", "c", 2)
	all = polled("reader", "k", "0a 1b 2c")
)

// row is a history and what is wrong with it; "" is nothing.
type row struct {
	name  string
	wrong string
	lines []string
}

func rows() []row {
	return []row{
		{"nothing happened", "", nil},
		{"three values, read", "", []string{abc, all}},
		{"two keys are two logs", "", []string{abc, sent("p", "ok", "l", "a", 0), all, polled("reader", "l", "0a")}},
		{"sent with unknown outcome, never read", "", []string{abc, sent("p", "info", "k", "d", -1), all}},
		{"sent with unknown outcome, read", "", []string{abc, sent("p", "info", "k", "d", -1), polled("c", "k", "0a 1b 2c 3d")}},
		{"invoked and never completed, read", "", []string{invoked("p", "k", "a"), polled("c", "k", "0a")}},
		{"failed, never read", "", []string{abc, sent("p", "fail", "k", "d", -1), all}},
		{"failed without repeating what was sent", "aborted-read", []string{invoked("p", "k", "a"), `{"process":"p","type":"fail","f":"send"}`, polled("c", "k", "0a")}},
		{"acknowledged without an offset", "", []string{sent("p", "ok", "k", "a", -1), polled("c", "k", "0a")}},

		{"two values read at one offset", "inconsistent-offsets", []string{abc, sent("q", "info", "k", "x", -1), all, polled("d", "k", "0a 1x 2c")}},
		{"acknowledged where another value is read", "2 acknowledged-offset, inconsistent-offsets", []string{sent("p", "ok", "k", "a", 0), sent("q", "ok", "k", "b", 0), polled("c", "k", "0b 1a"), sent("r", "ok", "k", "d", 3), polled("c", "k", "2d")}},
		{"two values acknowledged at one offset, one lost", "inconsistent-offsets, lost-write", []string{sent("p", "ok", "k", "a", 0), sent("q", "ok", "k", "b", 0), polled("c", "k", "0b")}},
		{"read in a hole of control records", "inconsistent-offsets", []string{abc, all, gap(1, 1, Control)}},

		{"one value at two offsets", "duplicate", []string{sent("p", "ok", "k", "a", 0), polled("c", "k", "0a 1a")}},
		{"acknowledged elsewhere than read", "acknowledged-offset", []string{sent("p", "ok", "k", "a", 0), sent("q", "ok", "k", "b", 2), polled("c", "k", "0a 1b")}},

		{"lost below what was read", "lost-write", []string{abc, polled("c", "k", "0a"), event("c", "assign", `,"keys":["k"]`), event("c", "rebalance", `,"keys":["k"]`), polled("c", "k", "2c")}},
		{"the last one not read yet", "unseen", []string{abc, polled("c", "k", "0a 1b")}},
		{"nobody read anything", "3 unseen", []string{abc}},
		{"a transaction of unknown outcome of which half was read", "lost-write",
			[]string{txn("p", "info", ">k a 0", ">k b 1"), polled("c", "k", "1b")}},
		{"a transaction of unknown outcome of which nothing was read", "",
			[]string{txn("p", "info", ">k a 0", ">k b 1"), sent("q", "ok", "k", "c", 3), polled("c", "k", "3c"), gap(2, 2, Control)}},
		{"compacted away", "", []string{abc, polled("c", "k", "0a 2c"), gap(1, 1, Compacted)}},
		{"trimmed away", "", []string{abc, polled("c", "k", "2c"), gap(0, 1, Trimmed)}},
		{"acknowledged in a hole of aborted records", "lost-write", []string{abc, polled("c", "k", "0a 1b"), gap(2, 2, Aborted)}},

		{"read though the send failed", "aborted-read", []string{sent("p", "fail", "k", "a", -1), polled("c", "k", "0a")}},
		{"read though the transaction failed", "aborted-read", []string{txn("p", "fail", ">k a 0"), polled("c", "k", "0a")}},
		{"read in a hole of aborted records", "aborted-read", []string{sent("p", "info", "k", "a", -1), polled("c", "k", "0a"), gap(0, 0, Aborted)}},
		{"an aborted transaction's offsets explain themselves", "", []string{txn("p", "fail", ">k a 0"), gap(1, 1, Control), sent("q", "ok", "k", "b", 2), polled("c", "k", "2b")}},

		{"a transaction reads what it sent", "precommitted-read", []string{txn("p", "ok", ">k a 0", "<k 0a")}},
		{"read before it was sent", "precommitted-read", []string{polled("c", "k", "0a"), invoked("p", "k", "a"), sent("p", "ok", "k", "a", 0)}},
		{"read before the commit was asked for", "precommitted-read", []string{txn("p", "invoke", ">k a"), polled("c", "k", "0a"), `{"process":"p","type":"commit","f":"txn"}`, txn("p", "ok", ">k a 0")}},
		{"read between asking and hearing", "", []string{txn("p", "invoke", ">k a"), `{"process":"p","type":"commit","f":"txn"}`, polled("c", "k", "0a"), txn("p", "ok", ">k a 0")}},

		{"a poll goes on where the last one ended", "", []string{abc, all, polled("c", "k", "0a"), polled("c", "k", "1b 2c")}},
		{"a poll leaves one out", "poll-skip", []string{abc, all, polled("c", "k", "0a"), polled("c", "k", "2c")}},
		{"a poll leaves one out within", "int-poll-skip", []string{abc, all, polled("c", "k", "0a 2c")}},
		{"a poll leaves out what was compacted", "", []string{abc, all, polled("c", "k", "0a 2c"), gap(1, 1, Compacted)}},
		{"a poll leaves out what failed", "aborted-read", []string{txn("p", "fail", ">k a 0"), sent("p", "ok", "k", "b", 1), polled("c", "k", "0a 1b"), event("d", "assign", `,"keys":["k"],"from":{"k":0}`), polled("d", "k", "1b")}},
		{"a poll goes back", "nonmonotonic-poll", []string{abc, all, polled("reader", "k", "1b")}},
		{"a poll goes back within", "int-nonmonotonic-poll", []string{abc, all, polled("c", "k", "0a 1b 0a")}},
		{"a poll repeats", "nonmonotonic-poll", []string{abc, all, polled("reader", "k", "2c")}},
		{"a failed poll moves nothing", "", []string{abc, all, `{"process":"c","type":"fail","f":"poll","ops":[{"poll":{"k":[[0,"a"]]}}]}`, polled("c", "k", "0a 1b")}},
		{"after a poll of unknown outcome anything goes", "", []string{abc, all, `{"process":"reader","type":"info","f":"poll"}`, polled("reader", "k", "0a")}},

		{"assigned away and back", "", []string{abc, all, event("reader", "assign", `,"keys":["l"]`), event("reader", "assign", `,"keys":["k"]`), polled("reader", "k", "0a")}},
		{"kept by an assignment", "nonmonotonic-poll", []string{abc, all, event("reader", "assign", `,"keys":["k","l"]`), polled("reader", "k", "0a")}},
		{"kept by a subscription", "nonmonotonic-poll", []string{abc, all, event("reader", "subscribe", `,"keys":["k"]`), polled("reader", "k", "0a")}},
		{"an assignment that failed", "nonmonotonic-poll", []string{abc, all, `{"process":"reader","type":"fail","f":"assign","keys":["l"]}`, polled("reader", "k", "0a")}},
		{"assigned from an offset", "", []string{abc, all, event("reader", "assign", `,"keys":["k"],"from":{"k":1}`), polled("reader", "k", "1b")}},
		{"assigned from an offset, and given a later one", "poll-skip", []string{abc, all, event("reader", "assign", `,"keys":["k"],"from":{"k":0}`), polled("reader", "k", "1b")}},
		{"assigned from an offset, and given an earlier one", "nonmonotonic-poll", []string{abc, all, event("reader", "assign", `,"keys":["k"],"from":{"k":2}`), polled("reader", "k", "1b")}},
		{"rebalanced", "", []string{abc, all, event("reader", "rebalance", `,"keys":["k"]`), polled("reader", "k", "0a")}},
		{"another key rebalanced", "nonmonotonic-poll", []string{abc, all, event("reader", "rebalance", `,"keys":["l"]`), polled("reader", "k", "0a")}},
		{"rebalanced while polling", "", []string{abc, all, `{"process":"reader","type":"ok","f":"poll","rebalanced":["k"],"ops":[{"poll":{"k":[[0,"a"],[2,"c"],[1,"b"]]}}]}`}},

		{"sends change places", "nonmonotonic-send", []string{sent("p", "ok", "k", "a", 1), sent("p", "ok", "k", "b", 0), polled("c", "k", "0b 1a")}},
		{"sends change places within", "int-nonmonotonic-send", []string{txn("p", "ok", ">k a 1", ">k b 0"), polled("c", "k", "0b 1a")}},
		{"places known from polls only", "nonmonotonic-send", []string{sent("p", "ok", "k", "a", -1), sent("p", "ok", "k", "b", -1), polled("c", "k", "0b 1a")}},
		{"two processes have no order", "", []string{sent("p", "ok", "k", "a", 1), sent("q", "ok", "k", "b", 0), polled("c", "k", "0b 1a")}},
		{"one of unknown outcome lands late", "", []string{sent("p", "info", "k", "a", -1), sent("p", "ok", "k", "b", 0), polled("c", "k", "0b 1a")}},
		{"one of unknown outcome lands early", "nonmonotonic-send", []string{sent("p", "ok", "k", "a", 1), sent("p", "info", "k", "b", -1), polled("c", "k", "0b 1a")}},
		{"in flight together, in the order of the invocations", "nonmonotonic-send", []string{
			strings.Replace(invoked("p", "k", "a"), `"f"`, `"id":"1","f"`, 1), strings.Replace(invoked("p", "k", "b"), `"f"`, `"id":"2","f"`, 1),
			strings.Replace(sent("p", "ok", "k", "b", 0), `"f"`, `"id":"2","f"`, 1), strings.Replace(sent("p", "ok", "k", "a", 1), `"f"`, `"id":"1","f"`, 1), polled("c", "k", "0b 1a")}},
		{"others' values between one operation's sends", "", []string{txn("p", "ok", ">k a 0", ">k b 2"), sent("q", "ok", "k", "x", 1), polled("c", "k", "0a 1x 2b")}},

		{"a reads b and b reads a", "circular-information", []string{txn("p", "ok", ">k a 0", "<l 0b"), txn("q", "ok", ">l b 0", "<k 0a")}},
		{"three in a circle", "circular-information", []string{txn("p", "ok", ">k a 0", "<m 0c"), txn("q", "ok", ">l b 0", "<k 0a"), txn("r", "info", ">m c 0", "<l 0b")}},
		{"a chain is no circle", "", []string{txn("p", "ok", ">k a 0"), txn("q", "ok", "<k 0a", ">l b 0"), txn("r", "ok", "<l 0b", ">m c 0"), polled("c", "m", "0c")}},
		{"write order closes no circle", "", []string{txn("p", "ok", ">k a 0", ">l d 1"), txn("q", "ok", "<k 0a", ">l b 0"), polled("c", "l", "0b 1d")}},

		{"an offset that nobody explains", "offset-gap", []string{sent("p", "ok", "k", "a", 0), sent("p", "ok", "k", "b", 2), polled("c", "k", "0a 2b")}},
		{"the first offsets are missing", "offset-gap", []string{sent("p", "ok", "k", "a", 5), polled("c", "k", "5a")}},
		{"a hole too short", "offset-gap", []string{sent("p", "ok", "k", "a", 5), polled("c", "k", "5a"), gap(0, 3, Control)}},
		{"holes that overlap", "", []string{sent("p", "ok", "k", "a", 5), polled("c", "k", "5a"), gap(0, 4, Compacted), gap(1, 2, Control)}},
		{"holes side by side", "", []string{sent("p", "ok", "k", "a", 5), polled("c", "k", "5a"), gap(3, 4, Control), gap(1, 3, Compacted), gap(0, 0, Aborted), gap(1, 1, Compacted)}},

		{"read and never sent", "phantom-value", []string{polled("c", "k", "0a")}},
		{"sent to another key", "phantom-value", []string{sent("p", "ok", "l", "a", 0), polled("c", "l", "0a"), polled("c", "k", "0a")}},
		{"there before the history began", "", []string{polled("c", "k", "0a 1b"), gap(0, 1, Earlier), sent("p", "ok", "k", "c", 2), polled("c", "k", "2c")}},
	}
}

func TestCheck_FindsEachAnomalyAndNoOther(t *testing.T) {
	seen := map[Kind]bool{IntSendSkip: true} // TestCheck_HeaderChoosesKinds
	for _, r := range rows() {
		lines := strings.ReplaceAll(strings.Join(r.lines, "\n"), "}{", "}\n{")
		kinds, story := verdict(t, plainHeader, lines)
		if kinds != r.wrong {
			t.Errorf("%s: found %q, want %q\n%s\n%s", r.name, kinds, r.wrong, lines, story)
		}
		for _, k := range strings.Split(r.wrong, ", ") {
			seen[Kind(k[strings.IndexByte(k, ' ')+1:])] = true
			if r.wrong != "" && !strings.Contains(story, "line ") && !strings.Contains(k, string(OffsetGap)) {
				t.Errorf("%s: the story shows no event:\n%s", r.name, story)
			}
		}
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no history here shows %s", k)
		}
	}
}

func TestCheck_HeaderChoosesKinds(t *testing.T) {
	lines := txn("p", "ok", ">k a 0", ">k b 2") + "\n" + sent("q", "ok", "k", "x", 1) + "\n" + polled("c", "k", "0a 1x")
	for header, want := range map[string]string{
		plainHeader:                                  "unseen",
		`{"history":1,"ignore":["unseen"]}`:          "",
		`{"history":1,"look_for":["int-send-skip"]}`: "int-send-skip, unseen",
	} {
		if kinds, _ := verdict(t, header, lines); kinds != want {
			t.Errorf("%s: found %q, want %q", header, kinds, want)
		}
	}
	aborted := txn("p", "fail", ">k a 0", "<k 0a") + "\n" + polled("c", "k", "0a")
	if kinds, _ := verdict(t, `{"history":1,"isolation":"read_uncommitted"}`, aborted); kinds != "" {
		t.Errorf("found %q where pollers may see what isn't committed", kinds)
	}
	if kinds, _ := verdict(t, `{"history":1,"isolation":"read_uncommitted"}`, sent("p", "fail", "k", "a", -1)+"\n"+polled("c", "k", "0a")); kinds != "aborted-read" {
		t.Errorf("found %q where a send failed and its value was read", kinds)
	}
}

func TestTell_ShowsTheEventsAboutTheKey(t *testing.T) {
	lines := strings.Join([]string{
		invoked("p", "k", "a"),
		sent("p", "ok", "k", "a", 0),
		sent("q", "ok", "other", "z", 0),
		sent("p", "ok", "k", "b", 1),
		polled("c", "k", "0a"),
		polled("c", "other", "0z"),
		sent("p", "ok", "k", "c", 2),
		event("c", "assign", `,"keys":["k"]`),
		polled("c", "k", "2c"),
	}, "\n")
	_, story := verdict(t, plainHeader, lines)
	const want = `lost-write: 1
  "b" was acknowledged to p at offset 1 of k and never read, though offset 2 was
    line 3: p ok send k ← "a" at 0
    line 5: p ok send k ← "b" at 1
    line 6: c ok poll k → 0 "a"
    line 8: p ok send k ← "c" at 2
    line 10: c ok poll k → 2 "c"
poll-skip: 1
  c read offset 0 of k and then 2, past 1 that others know
    line 3: p ok send k ← "a" at 0
    line 5: p ok send k ← "b" at 1
    line 6: c ok poll k → 0 "a"
    line 8: p ok send k ← "c" at 2
    line 9: c ok assign k
    line 10: c ok poll k → 2 "c"
`
	if story != want {
		t.Errorf("told\n%s\nwant\n%s", story, want)
	}
}

func TestCheck_KeepsFewAnomaliesAndCountsAll(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, sent("p", "ok", "k", fmt.Sprint("v", i), i))
	}
	kinds, story := verdict(t, plainHeader, strings.Join(lines, "\n"))
	if kinds != "1000 unseen" || strings.Count(story, "never read") != toldMax {
		t.Errorf("found %q and told\n%s", kinds, story)
	}
}
