package fakes3

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wadi-io/wadi/bench/load"
)

// Config is what a server is told at its start.
type Config struct {
	KeepBytes  int64  // of bodies below DropPrefix; older ones are dropped
	DropPrefix string // of keys
	Profile    Profile
	Seed       uint64 // of latencies and refusals
}

// DefaultConfig keeps 512 MiB of segments.
func DefaultConfig() Config {
	return Config{KeepBytes: 512 << 20, DropPrefix: "segments/", Seed: 1}
}

// Counters is what was asked of a server since its start.
type Counters struct {
	Puts, Gets, Heads, Deletes, Lists int64
	BytesIn, BytesOut                 int64
	Taken                             int64         // PUTs of a key that was taken
	Refused                           int64         // with 503
	DroppedReads                      int64         // GETs of bodies that were dropped
	PutP50, PutP99                    time.Duration // since the weather was set, from the request's head to its answer
}

// Server is the server. Its buckets are made by being named.
type Server struct {
	store   *store
	weather *weather
	puts    struct {
		sync.Mutex
		load.Histogram
	}
	count struct {
		puts, gets, heads, deletes, lists, in, out, taken, refused, dropped atomic.Int64
	}
}

// New returns a server that Serve runs.
func New(cfg Config) *Server {
	s := &Server{store: newStore(cfg.KeepBytes, cfg.DropPrefix), weather: newWeather(cfg.Seed)}
	s.weather.set(cfg.Profile, 0)
	return s
}

// Serve serves a listener until it is closed.
func (s *Server) Serve(l net.Listener) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	if err := server.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Counters tells what was asked so far.
func (s *Server) Counters() Counters {
	c := &s.count
	s.puts.Lock()
	defer s.puts.Unlock()
	return Counters{
		Puts: c.puts.Load(), Gets: c.gets.Load(), Heads: c.heads.Load(), Deletes: c.deletes.Load(), Lists: c.lists.Load(),
		BytesIn: c.in.Load(), BytesOut: c.out.Load(), Taken: c.taken.Load(), Refused: c.refused.Load(), DroppedReads: c.dropped.Load(),
		PutP50: s.puts.Quantile(0.50), PutP99: s.puts.Quantile(0.99),
	}
}

// The paths by which a measurement speaks to the server; no bucket is named so.
const (
	pathCounters = "/-/counters" // GET: Counters as JSON
	pathWeather  = "/-/weather"  // POST with profile=NAME and slowdown=SHARE
)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/-/") {
		s.control(w, r)
		return
	}
	began := time.Now()
	takes, refused := s.weather.draw(r.Method == http.MethodPut)
	if refused {
		s.count.refused.Add(1)
		io.Copy(io.Discard, r.Body) // else the connection ends, which is another fault
		time.Sleep(takes)
		fail(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		return
	}
	// wait is called just before an answer: the request has taken what the profile says.
	wait := func() {
		if left := takes - time.Since(began); left > 0 {
			time.Sleep(left)
		}
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case query.Has("uploads") || query.Has("uploadId") || query.Has("versioning") || query.Has("delimiter"):
		fail(w, http.StatusNotImplemented, "NotImplemented", "This server is for measurements of Wadi.")
	case key == "" && r.Method == http.MethodPut:
		wait()
	case key == "" && r.Method == http.MethodPost && query.Has("delete"):
		s.deleteMany(w, r, wait)
	case key == "" && r.Method == http.MethodGet:
		s.list(w, query, wait)
	case key == "" && r.Method == http.MethodHead:
		wait()
	case r.Method == http.MethodPut:
		s.put(w, r, key, wait)
		s.puts.Lock()
		s.puts.Add(time.Since(began))
		s.puts.Unlock()
	case r.Method == http.MethodGet:
		s.get(w, r, key, wait)
	case r.Method == http.MethodHead:
		s.head(w, key, wait)
	case r.Method == http.MethodDelete:
		s.count.deletes.Add(1)
		s.store.remove(key)
		wait()
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

// fail answers as S3 does.
func fail(w http.ResponseWriter, status int, code, message string) {
	body := `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>` + message + `</Message></Error>`
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}

func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pathCounters:
		json.NewEncoder(w).Encode(s.Counters())
	case pathWeather:
		p, err := ProfileOf(r.URL.Query().Get("profile"))
		share, shareErr := strconv.ParseFloat(r.URL.Query().Get("slowdown"), 64)
		if err = errors.Join(err, shareErr); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.weather.set(p, share)
		s.puts.Lock()
		s.puts.Histogram = load.Histogram{}
		s.puts.Unlock()
	default:
		http.NotFound(w, r)
	}
}

// checksum is a CRC-32C as S3 writes it.
func checksum(crc uint32) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func etag(crc uint32, size int64) string { return fmt.Sprintf("\"%08x%08x\"", crc, size) }

// castagnoli is made once: the standard library keeps it, and compares pointers.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
