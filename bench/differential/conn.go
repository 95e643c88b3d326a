package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerBytesMax bounds an answer.
const answerBytesMax = 64 << 20

// patience is how long an answer may take before it counts as none.
const patience = 8 * time.Second

// conn is one connection to a broker. One goroutine at a time uses it.
type conn struct {
	net.Conn
	correlation int32
}

func dial(address string) (*conn, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// send writes a request at the version set in it.
func (c *conn) send(r kmsg.Request) error {
	c.correlation++
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("differential"))
	_, err := c.Write(formatter.AppendRequest(nil, r, c.correlation))
	return err
}

// sendBody writes a request whose body is given as bytes, with a header that isn't flexible.
func (c *conn) sendBody(key, version int16, body []byte) error {
	c.correlation++
	frame := binary.BigEndian.AppendUint32(nil, uint32(8+2+len("differential")+len(body)))
	frame = binary.BigEndian.AppendUint16(frame, uint16(key))
	frame = binary.BigEndian.AppendUint16(frame, uint16(version))
	frame = binary.BigEndian.AppendUint32(frame, uint32(c.correlation))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len("differential")))
	frame = append(frame, "differential"...)
	_, err := c.Write(append(frame, body...))
	return err
}

// receive reads the answer to the last request into a response.
func (c *conn) receive(r kmsg.Response) error {
	c.SetReadDeadline(time.Now().Add(patience))
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > answerBytesMax {
		return fmt.Errorf("an answer of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.correlation {
		return fmt.Errorf("an answer to request %d instead of %d", got, c.correlation)
	}
	if r.IsFlexible() && r.Key() != kmsg.ApiVersions.Int16() {
		if len(body) == 0 || body[0] != 0 {
			return errors.New("an answer's header has tags")
		}
		body = body[1:]
	}
	return r.ReadFrom(body)
}

// outcome is what an error of receive looks like to a client.
func outcome(err error) string {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(*net.OpError)):
		return "connection closed"
	}
	return err.Error()
}
