package floor

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Config is what a floor is told.
type Config struct {
	Bucket       string // http://HOST:PORT/NAME; "": segments are dropped, not put
	SegmentBytes int    // a segment of this size is put at once
	Linger       time.Duration
	Uploads      int // at once

	// What Fetch is answered from: so many batches of each of so many partitions.
	Partitions, Batches, BatchRecords, RecordBytes int
}

// DefaultConfig is as Wadi's own defaults are.
func DefaultConfig() Config {
	return Config{SegmentBytes: 8 << 20, Linger: 50 * time.Millisecond, Uploads: 4, Partitions: 16, Batches: 16, BatchRecords: 64, RecordBytes: 1 << 10}
}

// Server serves both floors.
type Server struct {
	cfg   Config
	write *writer
	read  []records
}

// New makes a server; Run runs it.
func New(cfg Config) (*Server, error) {
	read, err := makeRecords(cfg)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, write: newWriter(cfg), read: read}, nil
}

// Run serves a listener until it or the bucket fails.
func (s *Server) Run(l net.Listener) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	failed := make(chan error, 1)
	tasks.Go(func() {
		if err := s.write.run(); err != nil {
			failed <- err
			l.Close()
		}
	})
	for {
		conn, err := l.Accept()
		if err != nil {
			s.write.stop()
			select {
			case err := <-failed:
				return err
			default:
				return nil
			}
		}
		go s.serve(conn) // It ends with its client.
	}
}

// frameBytesMax bounds a request.
const frameBytesMax = 32 << 20

// serve answers one connection's requests.
func (s *Server) serve(conn net.Conn) error {
	defer conn.Close()
	from := bufio.NewReaderSize(conn, 64<<10)
	var length [4]byte
	frame := make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(length[:]))
		if size > frameBytesMax {
			return fmt.Errorf("a frame of %d bytes", size)
		}
		if size > len(frame) {
			frame = make([]byte, size)
		}
		if _, err := io.ReadFull(from, frame[:size]); err != nil {
			return err
		}
		r := cursor{b: frame[:size]}
		key, version, correlation := r.int16(), r.int16(), r.int32()
		r.skip(int(r.int16())) // client id
		r.skip(1)              // no tags
		if r.bad || version != 12 {
			return errFrame
		}
		var err error
		switch key {
		case 0:
			err = s.write.take(conn, correlation, &r)
		case 1:
			err = s.answerFetch(conn, correlation, &r)
		default:
			err = errFrame
		}
		if err != nil {
			return err
		}
	}
}

var errFrame = errors.New("a request that a floor doesn't know")

// cursor reads a request; past its end it yields zeros and remembers.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) skip(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return nil
	}
	taken := c.b[:n]
	c.b = c.b[n:]
	return taken
}

func (c *cursor) int16() int16 {
	if b := c.skip(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if b := c.skip(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if b := c.skip(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) length() int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > 1<<31 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return int(v) - 1
}
