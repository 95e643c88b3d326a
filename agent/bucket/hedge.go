package bucket

import (
	"context"
	"errors"
	"sync"
	"time"
)

// HedgeConfig says when a request that is slow is sent a second time, and how often
// at most. The first answer that helps is taken. Its zero value never hedges.
type HedgeConfig struct {
	GetAfter time.Duration // 0: reads aren't hedged
	PutAfter time.Duration // 0: writes aren't hedged
	// GetPercent and PutPercent bound second requests, as a share of first ones; 10 of each may be saved up.
	GetPercent, PutPercent int
	// InFlightMax bounds the second requests at one time. Each read takes memory of its size.
	InFlightMax int
}

// DefaultHedgeConfig never hedges; with GetAfter set one read in twenty may be, with PutAfter one
// write in five. S3's writes spread so widely (p50 110, p99 350 ms) that a second one for the slowest 5 % comes
// too late for the 99th percentile: 300 ms take one for the slowest 15 %.
func DefaultHedgeConfig() HedgeConfig {
	return HedgeConfig{GetPercent: 5, PutPercent: 20, InFlightMax: 8}
}

// Validate says what is wrong with the config.
func (c HedgeConfig) Validate() error {
	if c.GetAfter < 0 || c.PutAfter < 0 || c.InFlightMax < 0 ||
		min(c.GetPercent, c.PutPercent) < 0 || max(c.GetPercent, c.PutPercent) > 100 {
		return errors.New("bucket hedge: times and InFlightMax must not be negative, GetPercent and PutPercent must be 0 to 100")
	}
	return nil
}

// hedgesSavedMax is how many second requests may be saved up, in hundredths.
const hedgesSavedMax = 10 * 100

// Hedge sends slow Gets and Puts a second time: the same key and bytes. It belongs
// below Retry, which compares what is stored where both Puts say that the key is taken.
func Hedge(b Bucket, cfg HedgeConfig) Bucket {
	h := &hedge{Bucket: b, cfg: cfg}
	h.mu.gets, h.mu.puts = hedgesSavedMax, hedgesSavedMax
	return h
}

type hedge struct {
	Bucket
	cfg HedgeConfig
	mu  struct {
		sync.Mutex
		gets, puts int // hundredths of second requests that are saved up
		inFlight   int
	}
}

// hedged is a kind of request: when it is sent again, and what is saved up for it.
type hedged struct {
	after   time.Duration
	percent int
	saved   *int // guarded by hedge.mu
}

func (h *hedge) get() hedged { return hedged{h.cfg.GetAfter, h.cfg.GetPercent, &h.mu.gets} }
func (h *hedge) put() hedged { return hedged{h.cfg.PutAfter, h.cfg.PutPercent, &h.mu.puts} }

// earn counts a first request.
func (h *hedge) earn(of hedged) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*of.saved = min(*of.saved+of.percent, hedgesSavedMax)
}

// spend tells whether a second request may be sent; done must be called after it.
func (h *hedge) spend(of hedged) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *of.saved < 100 || h.mu.inFlight >= h.cfg.InFlightMax {
		return false
	}
	*of.saved -= 100
	h.mu.inFlight++
	return true
}

func (h *hedge) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.inFlight--
}

// Put returns nil if one of both wrote the object. If one met an object and the other
// one's outcome is unknown, the object may be the other's: ErrExists, and Retry compares.
func (h *hedge) Put(ctx context.Context, key string, body []byte) error {
	put := func(ctx context.Context) error { return h.Bucket.Put(ctx, key, body) }
	_, err := h.race(ctx, h.put(), put, put)
	return err
}

func (h *hedge) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	var bodies [2][]byte
	get := func(i int) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			bodies[i], err = h.Bucket.Get(ctx, key, offset, length)
			return err
		}
	}
	won, err := h.race(ctx, h.get(), get(0), get(1))
	if err != nil {
		return nil, err
	}
	return bodies[won], nil
}

func (h *hedge) GetInto(ctx context.Context, key string, offset int64, dst []byte) (int, error) {
	var n [2]int
	var second []byte
	won, err := h.race(ctx, h.get(), func(ctx context.Context) (err error) {
		n[0], err = h.Bucket.GetInto(ctx, key, offset, dst)
		return err
	}, func(ctx context.Context) (err error) {
		second = make([]byte, len(dst)) // Both can't write into dst.
		n[1], err = h.Bucket.GetInto(ctx, key, offset, second)
		return err
	})
	if err != nil {
		return 0, err
	}
	if won == 1 {
		copy(dst, second[:n[1]])
	}
	return n[won], nil
}

// race runs first, and second too if first takes longer than it may. It tells which one
// succeeded. It returns when both have ended: the loser, which is cancelled, may still
// use the body or the buffer.
func (h *hedge) race(ctx context.Context, of hedged, first, second func(context.Context) error) (int, error) {
	if of.after == 0 {
		return 0, first(ctx)
	}
	h.earn(of)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		which int
		err   error
	}
	outcomes := make(chan outcome, 2)
	go func() { outcomes <- outcome{0, first(ctx)} }()
	timer := time.NewTimer(of.after)
	defer timer.Stop()
	running := 1
	var best outcome
	for ended := 0; ended < running; {
		select {
		case o := <-outcomes:
			if ended == 0 || preferred(o.err, best.err) {
				best = o
			}
			ended++
			if final(o.err) && !errors.Is(o.err, ErrExists) || o.err == nil {
				cancel()
			}
		case <-timer.C:
			if ended == 0 && ctx.Err() == nil && h.spend(of) {
				running = 2
				go func() {
					defer h.done()
					outcomes <- outcome{1, second(ctx)}
				}()
			}
		}
	}
	return best.which, best.err
}

// preferred tells whether an outcome says more than another: success, then an answer
// that would be the same again, then any error.
func preferred(a, b error) bool {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 2
		case final(err):
			return 1
		}
		return 0
	}
	return rank(a) > rank(b)
}
