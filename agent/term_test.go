package agent

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/memory"
)

// hanging is a metastore that gives no answer while it hangs.
type hanging struct {
	metastore.Store
	hangs atomic.Bool
}

var errHangs = errors.New("no answer")

func (h *hanging) wait(ctx context.Context) error {
	if h.hangs.Load() {
		<-ctx.Done()
		return errHangs
	}
	return nil
}

func (h *hanging) RenewTerm(ctx context.Context, term metastore.Term, lease time.Duration, settled uint64) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	return h.Store.RenewTerm(ctx, term, lease, settled)
}

func (h *hanging) EndTerm(ctx context.Context, term metastore.Term, force bool) (bool, error) {
	if err := h.wait(ctx); err != nil {
		return false, err
	}
	return h.Store.EndTerm(ctx, term, force)
}

// TestTerm_ItsEndIsToldAtOnce: not when all that was under way has given up.
func TestTerm_ItsEndIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const told = "the term has ended: clients are disconnected, another is begun"
		store, log := &hanging{Store: memory.New(time.Now, metastore.DefaultCluster())}, &lockedLog{}
		s := start(t, func(c *Config) { c.Given.Store, c.Log = store, slog.New(slog.NewTextHandler(log, nil)) })
		store.hangs.Store(true)
		for began := time.Now(); !strings.Contains(log.String(), told); time.Sleep(100 * time.Millisecond) {
			if lost := time.Since(began); lost > s.cfg.Lease+s.cfg.Lease/3 {
				t.Fatalf("not told %v after the last renewal:\n%s", lost, log)
			}
		}
		if text := log.String(); !strings.Contains(text, "could not be renewed for") || strings.Contains(text, "could not be ended") {
			t.Errorf("told:\n%s", text)
		}
		store.hangs.Store(false)
		time.Sleep(time.Minute)
		if text := log.String(); strings.Count(text, told) != 1 || strings.Count(text, "a term has begun") != 2 {
			t.Errorf("told:\n%s", text)
		}
	})
}
