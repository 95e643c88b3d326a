package agent

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
)

// TestBucketTrouble_ToldByKind: only when every request of a kind fails for a while, and once.
func TestBucketTrouble_ToldByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lockedLog{}
		b := newBucketTrouble(slog.New(slog.NewTextHandler(log, nil)))
		down := errors.New("503")
		for range 100 { // every second PUT fails: that is slow, and no outage
			b.observe(bucket.Request{Op: bucket.OpPut, Key: "a", Err: down})
			time.Sleep(time.Second)
			b.observe(bucket.Request{Op: bucket.OpPut, Key: "a"})
		}
		if text := log.String(); text != "" {
			t.Errorf("told:\n%s", text)
		}
		for range 10 {
			b.observe(bucket.Request{Op: bucket.OpPut, Key: "b", Err: down})
			b.observe(bucket.Request{Op: bucket.OpGet, Key: "c", Err: bucket.ErrNotFound})
			time.Sleep(time.Second)
		}
		b.observe(bucket.Request{Op: bucket.OpPut, Key: "b"})
		text := log.String()
		if strings.Count(text, "\n") != 2 || !strings.Contains(text, "requests to the bucket fail, and are repeated\" kind=put key=b err=503 for=2s") ||
			!strings.Contains(text, "requests to the bucket succeed again\" kind=put after=10s") {
			t.Errorf("told:\n%s", text)
		}
	})
}
