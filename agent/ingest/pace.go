package ingest

import (
	"math"
	"time"
)

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
//
// The budget follows the load. An idle agent may spend PutsPerSecondMax; the nearer the load comes to filling
// segments within the linger by itself, the less is spent on top: at seven eighths of that nothing
// is, and the PUTs of a GiB are those of full segments.
type pace struct {
	cfg    Config
	took   time.Duration // smoothed time of an upload, 0 until one has ended
	last   time.Time     // when the last flush started
	tokens float64       // of the PUT budget, at most a second's
	at     time.Time     // when tokens and load were right
	load   float64       // smoothed bytes a second that flushes took
}

const (
	// loadSmoothing is over how long the load is smoothed.
	loadSmoothing = time.Second
	// loadFillsShare is at which share of the load that fills segments within the linger nothing is flushed early any more.
	loadFillsShare = 0.875
)

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
			// The rate rises while nothing is flushed: it may be a little early, and is asked again.
			if rate := p.rate(); rate > 0 {
				early = max(early, time.Duration(min((1-p.tokens)/rate, p.cfg.Linger.Seconds())*float64(time.Second))+time.Microsecond)
			} else {
				early = p.cfg.Linger
			}
		}
		wait = min(wait, early)
	}
	return max(wait, 0)
}

// spacing spreads the uploads that may run at once over the time of one.
func (p *pace) spacing() time.Duration { return p.took / time.Duration(p.cfg.UploadsMax) }

// started counts a flush of so many bytes.
func (p *pace) started(now time.Time, size int64) {
	p.last = now
	p.tokens = max(0, p.tokens-1)
	p.load += float64(size) / loadSmoothing.Seconds()
}

func (p *pace) uploaded(took time.Duration) {
	if p.took == 0 {
		p.took = max(took, 1)
		return
	}
	p.took += (took - p.took) / 8
}

// rate is how many PUTs a second may be spent on flushes before size or linger, at this load.
func (p *pace) rate() float64 {
	if p.cfg.PutsFree {
		return p.cfg.PutsPerSecondMax
	}
	fills := loadFillsShare * float64(p.cfg.SegmentBytesMax) / p.cfg.Linger.Seconds()
	return p.cfg.PutsPerSecondMax * max(0, 1-p.load/fills)
}

func (p *pace) refill(now time.Time) {
	passed := now.Sub(p.at).Seconds()
	p.load *= math.Exp(-passed / loadSmoothing.Seconds())
	rate := p.rate()
	p.tokens = min(max(1, rate), p.tokens+passed*rate)
	p.at = now
}
