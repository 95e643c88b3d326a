package metastore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTrouble_ToldOnce: however often trouble is met, its beginning and its end are a
// line each, and one is told each minute that it lasts.
func TestTrouble_ToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		plain := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		trouble := Trouble{Log: slog.New(slog.NewTextHandler(&log, plain)), Level: slog.LevelWarn, Begun: "down", Over: "up", After: time.Second}
		told := func(want ...string) {
			t.Helper()
			if got := log.String(); got != strings.Join(want, "") {
				t.Errorf("told:\n%swant:\n%s", got, strings.Join(want, ""))
			}
			log.Reset()
		}
		trouble.End()
		trouble.Meet(errors.New("a hiccup"))
		time.Sleep(time.Second / 2)
		trouble.End()
		told()
		for range 700 {
			trouble.Meet(errors.New("x"), "journal", ShardJournal(4))
			time.Sleep(100 * time.Millisecond)
		}
		trouble.End()
		trouble.End()
		told("level=WARN msg=down journal=shard-4 err=x for=1s\n", "level=WARN msg=down journal=shard-4 err=x for=1m1s\n", "level=INFO msg=up after=1m10s\n")
	})
}

func TestTroubleLevel(t *testing.T) {
	if l := TroubleLevel(fmt.Errorf("read: %w", ErrUnreachable)); l != slog.LevelDebug {
		t.Error(l)
	}
	if l := TroubleLevel(errors.New("read")); l != slog.LevelWarn {
		t.Error(l)
	}
}

// TestJournalID_InLogs: a journal is told by its name in every format.
func TestJournalID_InLogs(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "journal", GroupsJournal(3))
	if !strings.Contains(log.String(), `"journal":"groups-3"`) {
		t.Error(log.String())
	}
}
