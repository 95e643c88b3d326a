package fakes3

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// chunked reads a body in aws-chunked coding, as the SDKs send it with a trailing checksum:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
type chunked struct {
	from *bufio.Reader
	left int64 // of the chunk
	end  bool
	crc  string // the trailer's CRC-32C, "" without one
}

// chunkBytes is what a reader of chunks buffers.
const chunkBytes = 64 << 10

func newChunked(r io.Reader) *chunked { return &chunked{from: bufio.NewReaderSize(r, chunkBytes)} }

func (c *chunked) Read(p []byte) (int, error) {
	if c.left == 0 && !c.end {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	if c.end {
		return 0, io.EOF
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.left == 0 && err == nil {
		_, err = c.line()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// begin reads a chunk's head, and the trailers after the last.
func (c *chunked) begin() error {
	head, err := c.line()
	if err != nil {
		return err
	}
	digits, _, _ := strings.Cut(head, ";")
	if c.left, err = strconv.ParseInt(digits, 16, 64); err != nil || c.left < 0 {
		return fmt.Errorf("chunk head %q", head)
	}
	if c.left > 0 {
		return nil
	}
	c.end = true
	for {
		line, err := c.line()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if line == "" {
			return nil
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, headerCRC) {
			c.crc = strings.TrimSpace(value)
		}
	}
}

func (c *chunked) line() (string, error) {
	line, err := c.from.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
