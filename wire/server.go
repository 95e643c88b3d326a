package wire

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// Observer is told of every request that has been answered or given up.
type Observer interface {
	// Answered: took is the time from the frame's last byte on; answerBytes is 0 where nothing was written.
	Answered(key, version int16, requestBytes, answerBytes int, took time.Duration)
}

// ServerConfig configures a Server.
type ServerConfig struct {
	Limits Limits
	// Listener is the name of the listener, as handlers see it.
	Listener string
	// AuthenticationRequired holds connections to FrameBytesUnauthenticatedMax until Conn.SetAuthenticated.
	AuthenticationRequired bool
	// Log takes why connections were closed. Nil: nobody does.
	Log *slog.Logger
	// Observer may be nil.
	Observer Observer
	// PoisonFrames overwrites a frame when it is released, so that a test sees a use after it.
	PoisonFrames bool
}

// Server serves connections with a table of routes.
type Server struct {
	cfg    ServerConfig
	limits Limits
	log    *slog.Logger
	table  []Route
	routes map[int16]*route

	frames      framePool
	budget      *budget             // of frames
	decoded     *semaphore.Weighted // bytes of messages
	connections chan struct{}

	requests atomic.Int64 // in flight

	mu struct {
		sync.Mutex
		conns map[*Conn]struct{}
	}
}

// NewServer checks its arguments and returns a server that serves nothing yet.
func NewServer(cfg ServerConfig, routes []Route) (*Server, error) {
	if err := cfg.Limits.Validate(); err != nil {
		return nil, err
	}
	table, err := routeTable(routes)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:         cfg,
		limits:      cfg.Limits,
		log:         cfg.Log,
		table:       routes,
		routes:      table,
		budget:      newBudget(cfg.Limits.ServerBytesInFlightMax, cfg.Limits.FrameBytesMax),
		decoded:     semaphore.NewWeighted(cfg.Limits.ServerBytesDecodedMax),
		connections: make(chan struct{}, cfg.Limits.ConnectionsMax),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.frames.poison = cfg.PoisonFrames
	s.mu.conns = map[*Conn]struct{}{}
	return s, nil
}

// APIs lists what the server takes, for ApiVersions.
func (s *Server) APIs() []kmsg.ApiVersionsResponseApiKey { return APIs(s.table) }

// Stats is what a server holds at the moment.
type Stats struct {
	Connections      int
	RequestsInFlight int
	BytesInFlight    int64 // of frames
	BytesIdle        int64 // of large frames that are kept for reuse
}

// Stats counts what the server holds.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	connections := len(s.mu.conns)
	s.mu.Unlock()
	return Stats{connections, int(s.requests.Load()), s.budget.taken(), s.frames.idleBytes()}
}

// Serve serves the connections that ln accepts. When ctx ends it stops
// reading requests, lets those that were started answer for up to
// DrainTimeout, closes its connections and returns nil. It returns an error,
// after the same, if ln fails.
//
// ln stays open, so that another server may go on with it: whoever made it closes
// it, before or after. (One without SetDeadline has to be closed here to stop accepting.)
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	interrupted := make(chan struct{})
	interrupt := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		if d, ok := ln.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
			ln.Close()
		}
	})

	var conns sync.WaitGroup
	err := s.accept(ctx, ln, &conns)
	if interrupt() {
		close(interrupted)
	}
	<-interrupted
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(time.Time{})
	}
	stop() // draining, also where the listener failed

	mine := func() []*Conn {
		return slices.DeleteFunc(s.open(), func(c *Conn) bool { return c.draining != ctx })
	}
	for _, c := range mine() {
		c.drain()
	}
	late := time.AfterFunc(s.limits.DrainTimeout, func() {
		for _, c := range mine() {
			c.close()
		}
	})
	conns.Wait()
	late.Stop()
	return err
}

// accept serves connections until ctx ends or ln fails.
func (s *Server) accept(ctx context.Context, ln net.Listener, conns *sync.WaitGroup) error {
	const retryDelayMax = time.Second
	delay := 5 * time.Millisecond
	for {
		select {
		case s.connections <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		nc, err := ln.Accept()
		if err != nil {
			<-s.connections
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, or a client that left before it was accepted.
			s.log.Warn("accepting a connection", "error", err, "retry_in", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return nil
			}
			delay = min(2*delay, retryDelayMax)
			continue
		}
		delay = 5 * time.Millisecond
		c := newConn(s, nc, ctx)
		s.mu.Lock()
		s.mu.conns[c] = struct{}{}
		s.mu.Unlock()
		conns.Go(func() {
			c.serve()
			s.mu.Lock()
			delete(s.mu.conns, c)
			s.mu.Unlock()
			<-s.connections
		})
	}
}

// CloseConnections closes all connections at once: requests that were read and
// not started are dropped, waits in progress are cut short, nothing more is
// written. Serving goes on.
func (s *Server) CloseConnections() {
	for _, c := range s.open() {
		c.close()
	}
}

// open returns the connections there are.
func (s *Server) open() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.mu.conns))
}
