package wire

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// KeyProduce and KeyAPIVersions are the requests that the connection itself
// treats differently.
const (
	KeyProduce     int16 = 0
	KeyAPIVersions int16 = 18
)

// Route says who takes a request, and in which versions. The routes are the one
// table that requests are dispatched by and that ApiVersions answers from. A route has either Handle or Start.
type Route struct {
	Key, Min, Max int16

	// Handle answers a request. It is called once all earlier requests of the
	// connection have been answered. ctx ends when the connection is gone.
	Handle func(ctx context.Context, r *Request) Answer

	// Start is for requests that overlap. It is called in the order in which
	// the connection's requests were read, once the requests before the first
	// overlapping one have been answered, and returns as soon as the
	// request's effect has its place among the others'; it may block while there is no
	// room.
	//
	// Both are given a context that outlives the client (look at Conn.Done
	// for that) and ends only when the server cuts the connection off; a
	// request that was read whole is started even if the client has left. The frame is
	// reused once Start returns, unless it was retained; the Message may be used until Pending.Answer
	// returns, but for its byte slices.
	Start func(ctx context.Context, r *Request) Pending
}

// Pending is an overlapping request that was started.
type Pending interface {
	// Ready tells whether Answer won't wait any more. Answers that are ready one
	// after the other leave in one write.
	Ready() bool
	// Answer waits for the answer and returns it. It is called once.
	Answer(ctx context.Context) Answer
}

// Request is one decoded request. Its Message may be used until the answer is returned,
// its Frame until the answer has been written (for a request with Start until that has
// returned). Message's byte slices alias Frame; its strings don't.
type Request struct {
	Conn          *Conn
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	Message       kmsg.Request
	Frame         *Frame // nil once a request's Start has returned

	route      *route
	body       []byte
	produce    *produceMessage // what Message points into, to be reused
	pending    Pending
	read       time.Time
	claimed    int64 // of the connection's bytes in flight
	frameBytes int
	charge     charge // of the server's
	decoded    int64  // of the bytes decoded
	flexible   bool
}

// Arrived is when the request's last byte was read.
func (r *Request) Arrived() time.Time { return r.read }

// Answer is what becomes of a request: exactly one of Message, Body, Raw, None and Close.
type Answer struct {
	// Message is encoded in the request's version.
	Message kmsg.Response
	// Body appends its encoding to what stands before it: the response header.
	Body interface{ AppendTo(dst []byte) []byte }
	// Raw is the encoded body behind the response header; it is written without copying.
	Raw [][]byte
	// Release is called once the answer has been written or given up.
	Release func()
	// None: the client expects no answer (acks=0).
	None bool
	// Close closes the connection instead of answering; the reason is logged.
	Close error
}

// APIs lists what routes can take, in the form and order of an ApiVersions answer.
func APIs(routes []Route) []kmsg.ApiVersionsResponseApiKey {
	apis := make([]kmsg.ApiVersionsResponseApiKey, 0, len(routes))
	for _, r := range routes {
		api := kmsg.NewApiVersionsResponseApiKey()
		api.ApiKey, api.MinVersion, api.MaxVersion = r.Key, r.Min, r.Max
		apis = append(apis, api)
	}
	slices.SortFunc(apis, func(a, b kmsg.ApiVersionsResponseApiKey) int { return cmp.Compare(a.ApiKey, b.ApiKey) })
	return apis
}

// route is a Route with the guard's program of each of its versions.
type route struct {
	Route
	programs []*program // from Min
}

// routeTable checks routes and finds their programs.
func routeTable(routes []Route) (map[int16]*route, error) {
	table := make(map[int16]*route, len(routes))
	for _, r := range routes {
		name := kmsg.NameForKey(r.Key)
		if table[r.Key] != nil {
			return nil, fmt.Errorf("%s has two routes", name)
		}
		if (r.Handle == nil) == (r.Start == nil) {
			return nil, fmt.Errorf("the route of %s must have either Handle or Start", name)
		}
		if r.Min < 0 || r.Min > r.Max {
			return nil, fmt.Errorf("%s: versions %d to %d", name, r.Min, r.Max)
		}
		known := &route{Route: r}
		for v := r.Min; v <= r.Max; v++ {
			p := programOf(r.Key, v)
			if p == nil {
				return nil, fmt.Errorf("%s version %d has no schema", name, v)
			}
			known.programs = append(known.programs, p)
		}
		if m := kmsg.RequestForKey(r.Key); m == nil || m.MaxVersion() < r.Max {
			return nil, fmt.Errorf("%s version %d can't be decoded", name, r.Max)
		}
		table[r.Key] = known
	}
	return table, nil
}

// program returns the guard's program for version, nil if the route doesn't take it.
func (r *route) program(version int16) *program {
	if version < r.Min || version > r.Max {
		return nil
	}
	return r.programs[version-r.Min]
}

// decode checks the body and makes Message of it. It runs just before the
// request is handled, so that a waiting one holds its frame and nothing else.
func (r *Request) decode(p *program, counted cost) error {
	if r.Key == KeyProduce {
		r.produce = getProduceMessage()
		r.produce.decode(r.Version, r.body, counted.elements)
		r.Message = &r.produce.request
		return nil
	}
	m := kmsg.RequestForKey(r.Key)
	m.SetVersion(r.Version)
	if err := m.ReadFrom(r.body); err != nil {
		return fmt.Errorf("%s version %d: %w", p.name, r.Version, err)
	}
	r.Message = m
	return nil
}
