package ingest

import "time"

// reason says why a flush started.
type reason int

const (
	notDue reason = iota
	bySize
	byLinger
	atOnce
)

// String is the reason as metrics and spans tell it.
func (r reason) String() string {
	switch r {
	case bySize:
		return "size"
	case byLinger:
		return "linger"
	case atOnce:
		return "at_once"
	}
	return "not_due"
}

// pace decides when a flush may start before size or linger ask for it: uploads
// that run at once are spread over the time that one takes, so that requests sent
// together share a segment, and the PUT budget is kept.
type pace struct {
	cfg    Config
	took   time.Duration // smoothed time of an upload, 0 until one has ended
	last   time.Time     // when the last flush started
	tokens float64       // of the PUT budget, at most a second's
	at     time.Time     // when tokens was right
}

func newPace(cfg Config, now time.Time) *pace {
	return &pace{cfg: cfg, tokens: max(1, cfg.PutsPerSecondMax), at: now}
}

// due tells whether a flush starts now, given what is buffered and how many uploads run.
func (p *pace) due(now, since time.Time, size int64, batches, running int) reason {
	p.refill(now)
	switch {
	case size >= p.cfg.SegmentBytesMax || batches >= p.cfg.BatchesMax:
		return bySize
	case p.tokens >= 1 && (running == 0 || p.took > 0 && !now.Before(p.last.Add(p.spacing()))):
		return atOnce
	case !now.Before(since.Add(p.cfg.Linger)):
		return byLinger
	}
	return notDue
}

// next returns how long it takes until due may say yes with nothing else happening.
func (p *pace) next(now, since time.Time, running int) time.Duration {
	wait := since.Add(p.cfg.Linger).Sub(now)
	if running == 0 || p.took > 0 {
		early := time.Duration(0)
		if running > 0 {
			early = p.last.Add(p.spacing()).Sub(now)
		}
		if p.tokens < 1 {
			early = max(early, time.Duration((1-p.tokens)/p.cfg.PutsPerSecondMax*float64(time.Second))+time.Microsecond)
		}
		wait = min(wait, early)
	}
	return max(wait, 0)
}

// spacing spreads the uploads that may run at once over the time of one.
func (p *pace) spacing() time.Duration { return p.took / time.Duration(p.cfg.UploadsMax) }

func (p *pace) started(now time.Time) {
	p.last = now
	p.tokens = max(0, p.tokens-1)
}

func (p *pace) uploaded(took time.Duration) {
	if p.took == 0 {
		p.took = max(took, 1)
		return
	}
	p.took += (took - p.took) / 8
}

func (p *pace) refill(now time.Time) {
	p.tokens = min(max(1, p.cfg.PutsPerSecondMax), p.tokens+now.Sub(p.at).Seconds()*p.cfg.PutsPerSecondMax)
	p.at = now
}
