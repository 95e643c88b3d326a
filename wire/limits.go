package wire

import (
	"fmt"
	"time"
)

// Limits bounds what clients can make a server hold. At a bound the client
// waits; what is malformed or larger than a bound closes its connection.
type Limits struct {
	// FrameBytesMax is the largest request, in bytes without its length prefix.
	FrameBytesMax int
	// FrameBytesUnauthenticatedMax is that before a connection has
	// authenticated, on a listener that asks for it.
	FrameBytesUnauthenticatedMax int
	// BodyBytesMax is the largest body of a request other than Produce; at most BodyBytesCeiling.
	BodyBytesMax int

	// ConnRequestsInFlightMax bounds the requests of one connection that were
	// read and not yet answered.
	ConnRequestsInFlightMax int
	// ConnBytesInFlightMax bounds their frames, in bytes. A frame larger than it is taken alone.
	ConnBytesInFlightMax int64
	// ServerBytesInFlightMax bounds the frames of all connections, in bytes,
	// those that are still being read included with the room they have (budget.go).
	ServerBytesInFlightMax int64
	// ServerBytesDecodedMax bounds the decoded messages of all connections, in
	// bytes as the guard estimates them; small messages aren't counted.
	ServerBytesDecodedMax int64
	// ConnectionsMax bounds the connections; more wait in the listener's backlog.
	ConnectionsMax int

	// IdleTimeout closes a connection that has nothing in flight and sends nothing.
	IdleTimeout time.Duration
	// ReadTimeout closes a connection that doesn't send the next 64 KiB of a
	// frame it has begun within this time; while others wait for room, 2 s do.
	ReadTimeout time.Duration
	// WriteTimeout closes a connection that doesn't take the next 64 KiB of an
	// answer within this time.
	WriteTimeout time.Duration
	// DrainTimeout is how long a server that stops lets started requests answer.
	DrainTimeout time.Duration
}

// DefaultLimits returns the limits of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		FrameBytesMax:                100 << 20,
		FrameBytesUnauthenticatedMax: 512 << 10,
		BodyBytesMax:                 BodyBytesCeiling,
		ConnRequestsInFlightMax:      64,
		ConnBytesInFlightMax:         64 << 20,
		ServerBytesInFlightMax:       512 << 20,
		ServerBytesDecodedMax:        256 << 20,
		ConnectionsMax:               10_000,
		IdleTimeout:                  10 * time.Minute,
		ReadTimeout:                  30 * time.Second,
		WriteTimeout:                 30 * time.Second,
		DrainTimeout:                 10 * time.Second,
	}
}

// Validate says which limit makes no sense.
func (l Limits) Validate() error {
	for _, x := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"FrameBytesMax", int64(l.FrameBytesMax), 1 << 10, 1 << 30},
		{"FrameBytesUnauthenticatedMax", int64(l.FrameBytesUnauthenticatedMax), 1 << 10, int64(l.FrameBytesMax)},
		{"BodyBytesMax", int64(l.BodyBytesMax), 1 << 10, BodyBytesCeiling},
		{"ConnRequestsInFlightMax", int64(l.ConnRequestsInFlightMax), 1, 1 << 16},
		{"ConnBytesInFlightMax", l.ConnBytesInFlightMax, 1, 1 << 40},
		{"ServerBytesInFlightMax", l.ServerBytesInFlightMax, 1, 1 << 40},
		{"ServerBytesDecodedMax", l.ServerBytesDecodedMax, 1, 1 << 40},
		{"ConnectionsMax", int64(l.ConnectionsMax), 1, 1 << 24},
		{"IdleTimeout", int64(l.IdleTimeout), 1, 1<<63 - 1},
		{"ReadTimeout", int64(l.ReadTimeout), 1, 1<<63 - 1},
		{"WriteTimeout", int64(l.WriteTimeout), 1, 1<<63 - 1},
		{"DrainTimeout", int64(l.DrainTimeout), 0, 1<<63 - 1},
	} {
		if x.value < x.min || x.value > x.max {
			return fmt.Errorf("%s %d: not within %d and %d", x.name, x.value, x.min, x.max)
		}
	}
	return nil
}
