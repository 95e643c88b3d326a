package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"
)

// answerBuffer holds an encoded answer while it is written.
type answerBuffer struct{ b []byte }

var answerBuffers = sync.Pool{New: func() any { return &answerBuffer{b: make([]byte, 0, 1<<10)} }}

// Larger buffers, and longer lists of slices, are not kept.
const (
	answerBytesKept  = 1 << 20
	answerSlicesKept = 256
)

func sinceRead(r *Request) time.Duration { return time.Since(r.read) }

// write sends the answer, and says how many bytes that was.
func (c *Conn) write(r *Request, a Answer) (int, error) {
	buffer := answerBuffers.Get().(*answerBuffer)
	defer func() {
		if cap(buffer.b) <= answerBytesKept {
			answerBuffers.Put(buffer)
		}
	}()
	b := appendAnswer(buffer.b[:0], r, a)
	buffer.b = b
	c.releaseMessage(r)
	total := len(b)
	for _, s := range a.Raw {
		total += len(s)
	}
	if total-4 > math.MaxInt32 {
		return 0, fmt.Errorf("%d bytes", total)
	}
	binary.BigEndian.PutUint32(b, uint32(total-4))

	c.slices = append(append(c.slices[:0], b), a.Raw...)
	c.writing = c.slices
	err := c.flush(total)
	clear(c.slices)
	if cap(c.slices) > answerSlicesKept {
		c.slices = nil
	}
	c.writing = nil
	return total, err
}

// appendAnswer encodes the answer but for Raw, behind room for its length.
func appendAnswer(b []byte, r *Request, a Answer) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(r.CorrelationID))
	if r.flexible && r.Key != KeyAPIVersions {
		// ApiVersions' header has no tagged fields, so that a client that doesn't know the version can read it.
		b = append(b, 0)
	}
	switch {
	case a.Message != nil:
		version := r.Version
		if r.route.program(version) == nil {
			version = 0
		}
		a.Message.SetVersion(version)
		b = a.Message.AppendTo(b)
	case a.Body != nil:
		b = a.Body.AppendTo(b)
	}
	return b
}

// flush writes c.writing. A client may be slow but must go on taking bytes.
func (c *Conn) flush(total int) error {
	for {
		timeout := c.server.limits.WriteTimeout
		if by := time.Now().Add(timeout); by.Sub(c.writeBy) > timeout/deadlineSlack {
			c.writeBy = by
			c.nc.SetWriteDeadline(by)
		}
		n, err := c.writeSome()
		total -= int(n)
		if err == nil || total <= 0 {
			return err
		}
		if n < progressBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		c.writeBy = time.Time{}
	}
}

func (c *Conn) writeSome() (int64, error) {
	if len(c.writing) == 1 {
		n, err := c.nc.Write(c.writing[0])
		c.writing[0] = c.writing[0][n:]
		return int64(n), err
	}
	return c.writing.WriteTo(c.nc)
}
