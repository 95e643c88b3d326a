package batch

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/snappy"
)

// snappyReader decompresses xerial's framing block by block, or one bare block, into a
// buffer that it reuses.
type snappyReader struct {
	blocks []byte // not decompressed yet
	framed bool   // xerial's
	block  []byte // as decompressed last
	unread []byte // of it
	left   int    // bytes that may still come out
}

func (r *snappyReader) reset(src []byte, bytesMax int) error {
	*r = snappyReader{blocks: src, block: r.block, left: bytesMax}
	if r.framed = bytes.HasPrefix(src, []byte(xerialMagic)); r.framed {
		if len(src) < xerialHeaderSize {
			return io.ErrUnexpectedEOF
		}
		r.blocks = src[xerialHeaderSize:]
	}
	return nil
}

// Read implements io.Reader.
func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.unread) == 0 {
		if len(r.blocks) == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// next decompresses the next block.
func (r *snappyReader) next() error {
	block := r.blocks
	r.blocks = nil
	if r.framed {
		if len(block) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(block)
		block = block[4:]
		if uint64(n) > uint64(len(block)) {
			return io.ErrUnexpectedEOF
		}
		block, r.blocks = block[:n], block[n:]
	}
	n, err := snappy.DecodedLen(block)
	switch {
	case err != nil:
		return err
	case n > r.left:
		return ErrTooLarge
	case n > snappyRatioMax*len(block):
		return snappy.ErrCorrupt
	}
	r.left -= n
	if n > cap(r.block) {
		r.block = make([]byte, n)
	}
	r.unread, err = snappy.Decode(r.block[:n], block)
	return err
}

// release lets go of the input, and of a buffer that one batch made large.
func (r *snappyReader) release() {
	*r = snappyReader{block: r.block}
	if cap(r.block) > inspectorKeptBytesMax {
		r.block = nil
	}
}
