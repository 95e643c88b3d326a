package metastore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// troubleEvery is between two lines about the same trouble.
const troubleEvery = time.Minute

// Trouble logs trouble that lasts: when it begins, each minute, and when it is over,
// however often it is met. Its methods may be called from several goroutines.
type Trouble struct {
	Log   *slog.Logger
	Level slog.Level    // of its beginning
	Begun string        // what is the matter
	Over  string        // what is so again
	After time.Duration // how long it must last before it is told

	mu struct {
		sync.Mutex
		since, told time.Time // zero: there is none, it was not told
	}
}

// Meet says that it is there, by an error.
func (t *Trouble) Meet(err error, attrs ...any) {
	now := time.Now()
	t.mu.Lock()
	if t.mu.since.IsZero() {
		t.mu.since = now
	}
	lasts := now.Sub(t.mu.since)
	tell := lasts >= t.After && (t.mu.told.IsZero() || now.Sub(t.mu.told) >= troubleEvery)
	if tell {
		t.mu.told = now
	}
	t.mu.Unlock()
	if !tell {
		return
	}
	attrs = append(attrs, "err", err)
	if lasts >= time.Second {
		attrs = append(attrs, "for", lasts.Round(time.Second))
	}
	t.Log.Log(context.Background(), t.Level, t.Begun, attrs...)
}

// End says that there is none, any more.
func (t *Trouble) End(attrs ...any) {
	t.mu.Lock()
	since, told := t.mu.since, !t.mu.told.IsZero()
	t.mu.since, t.mu.told = time.Time{}, time.Time{}
	t.mu.Unlock()
	if told {
		t.Log.Info(t.Over, append(attrs, "after", time.Since(since).Round(time.Millisecond))...)
	}
}

// TroubleLevel is the level of a line about something that failed and is tried again. That
// the metastore can't be reached is told by who follows it: the others needn't, too.
func TroubleLevel(err error) slog.Level {
	if errors.Is(err, ErrUnreachable) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
