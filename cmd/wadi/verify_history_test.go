package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerifyHistory(t *testing.T) {
	write := func(lines ...string) string {
		name := filepath.Join(t.TempDir(), "history.jsonl")
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	header := `{"history":1}`
	sent := `{"process":"p","type":"ok","f":"send","ops":[{"send":"orders-0","value":"a","offset":0}]}`
	clean := write(header, sent, `{"process":"c","type":"ok","f":"poll","ops":[{"poll":{"orders-0":[[0,"a"]]}}]}`)
	run(t, "verify-history", clean).want(t, exitDone, "2 events, 1 key: 1 value sent, 1 acknowledged, 1 read\n", "")
	run(t, "verify-history", clean, "-o", "json").want(t, exitDone, `"counts":{}`, "")

	twice := write(header, sent, `{"process":"c","type":"ok","f":"poll","ops":[{"poll":{"orders-0":[[0,"a"],[1,"a"]]}}]}`)
	run(t, "verify-history", twice).want(t, exitFailure, `duplicate: 1
  "a" was sent to orders-0 once and read at offsets 0, 1
    line 2: p ok send orders-0 ← "a" at 0
    line 3: c ok poll orders-0 → 0 "a", 1 "a"
`, "wadi: the history shows what no log may do, once.\n")
	run(t, "verify-history", "-o", "json", twice).want(t, exitFailure, `"kind":"duplicate"`, "once.\n")
	run(t, "verify-history", "--ignore", "duplicate", twice).want(t, exitDone, "1 value sent", "")

	run(t, "verify-history", write(header, sent, sent)).want(t, exitFailure, "", `line 3: the value "a" was sent to "orders-0" before`)
	run(t, "verify-history", write(sent)).want(t, exitFailure, "", "wadi: read the history: line 1: ")
	run(t, "verify-history", filepath.Join(t.TempDir(), "none")).want(t, exitFailure, "", "no such file or directory")
}
