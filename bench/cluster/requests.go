package cluster

import (
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Trouble is what becomes of an agent's requests to the bucket. Each share is of
// all requests, from 0 to 1.
type Trouble struct {
	SlowDown float64       // share answered 503 SlowDown, not done
	Lost     float64       // share done, whose answer is lost: a retry meets its own work
	Slow     float64       // share answered late
	By       time.Duration // how late, at most
}

// Requests is a reverse proxy to a bucket that may be told to misbehave.
type Requests struct {
	server   *http.Server
	listener net.Listener
	proxy    *httputil.ReverseProxy
	served   chan struct{}

	// Counts of what was done to requests.
	Refused, AnswersLost, Delayed atomic.Int64
	// There counts the answers of the bucket that an object is there already (412).
	There atomic.Int64

	mu struct {
		sync.Mutex
		trouble Trouble
		random  *rand.Rand
	}
}

// idleConnectionsMax bounds the connections that are kept to the bucket.
const idleConnectionsMax = 64

// NewRequests returns a proxy to the server at endpoint, http://HOST:PORT.
func NewRequests(endpoint string, random *rand.Rand) (*Requests, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Requests{listener: listener, served: make(chan struct{})}
	r.mu.random = random
	r.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host // It is signed.
		},
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: idleConnectionsMax, IdleConnTimeout: time.Minute},
		ModifyResponse: func(answer *http.Response) error {
			if answer.StatusCode == http.StatusPreconditionFailed {
				r.There.Add(1)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	r.server = &http.Server{Handler: r, ErrorLog: r.proxy.ErrorLog}
	go func() {
		defer close(r.served)
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return r, nil
}

// Address is where the proxy listens.
func (r *Requests) Address() string { return r.listener.Addr().String() }

// Set changes what becomes of requests.
func (r *Requests) Set(t Trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.trouble = t
}

// Close ends the proxy.
func (r *Requests) Close() {
	r.server.Close()
	<-r.served
}

// fate is what becomes of one request.
type fate struct {
	slowDown, lost bool
	wait           time.Duration
}

func (r *Requests) draw() (f fate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, draw := r.mu.trouble, r.mu.random.Float64
	if draw() < t.Slow && t.By > 0 {
		f.wait = time.Duration(r.mu.random.Int64N(int64(t.By)))
	}
	f.slowDown = draw() < t.SlowDown
	f.lost = !f.slowDown && draw() < t.Lost
	return f
}

const slowDownBody = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

// ServeHTTP passes a request on, or does to it what Set said.
func (r *Requests) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	f := r.draw()
	if f.wait > 0 {
		r.Delayed.Add(1)
		select {
		case <-time.After(f.wait):
		case <-request.Context().Done():
			return
		}
	}
	switch {
	case f.slowDown:
		r.Refused.Add(1)
		io.Copy(io.Discard, request.Body) // else the connection ends, which is another fault
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(slowDownBody)))
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, slowDownBody)
	case f.lost:
		r.AnswersLost.Add(1)
		// It is done whether or not the agent waits for it.
		r.proxy.ServeHTTP(nowhere{http.Header{}}, request.WithContext(context.WithoutCancel(request.Context())))
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
	default:
		r.proxy.ServeHTTP(w, request)
	}
}

// nowhere takes an answer that is lost.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
