package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decompress returns the bytes that src decompresses to, at most bytesMax.
func decompress(codec Codec, src []byte, bytesMax int) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(src)); err == nil {
			out, err = readAll(r, make([]byte, 0, firstBuffer(len(src), bytesMax)), bytesMax)
		}
	case Snappy:
		out, err = decompressSnappy(src, bytesMax)
	case LZ4:
		out, err = readAll(lz4.NewReader(bytes.NewReader(src)), make([]byte, 0, firstBuffer(len(src), bytesMax)), bytesMax)
	case Zstd:
		out, err = decompressZstd(src, bytesMax)
	default:
		return nil, fmt.Errorf("%w: unknown %v", ErrInvalid, codec)
	}
	return out, decompressFailed(codec, err, bytesMax)
}

// decompressFailed is err as decompress tells it.
func decompressFailed(codec Codec, err error, bytesMax int) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("%w: %v records beyond %d bytes", ErrTooLarge, codec, bytesMax)
	case err != nil:
		return fmt.Errorf("%w: %v: %w", ErrInvalid, codec, err)
	}
	return nil
}

// bufferBytesMin is the least that a decompression buffer begins with, in bytes.
const bufferBytesMin = 4 << 10

// firstBuffer returns how much to begin with for compressed bytes: the memory
// taken grows with what is found, not with what is claimed.
func firstBuffer(compressed, bytesMax int) int {
	return min(max(4*compressed, bufferBytesMin), bytesMax+1)
}

// readAll reads r to its end, at most bytesMax bytes, into b or a larger buffer.
func readAll(r io.Reader, b []byte, bytesMax int) ([]byte, error) {
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > bytesMax:
			return nil, ErrTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		case len(b) == cap(b):
			grown := make([]byte, len(b), min(2*cap(b), bytesMax+1))
			copy(grown, b)
			b = grown
		}
	}
}

// xerialMagic opens the framing that Java clients put around snappy: the magic,
// two 32-bit versions, then blocks, each after its 32-bit length.
const xerialMagic = "\x82SNAPPY\x00"

const xerialHeaderSize = len(xerialMagic) + 8

// decompressSnappy takes xerial's framing and a bare block.
func decompressSnappy(src []byte, bytesMax int) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(xerialMagic)) {
		return appendSnappy(nil, src, bytesMax)
	}
	if len(src) < xerialHeaderSize {
		return nil, io.ErrUnexpectedEOF
	}
	src = src[xerialHeaderSize:]
	out := make([]byte, 0, firstBuffer(len(src), bytesMax))
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if out, err = appendSnappy(out, src[:n], bytesMax); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

// appendSnappy decompresses one block to the end of dst.
func appendSnappy(dst, block []byte, bytesMax int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > bytesMax-len(dst) {
		return nil, ErrTooLarge
	}
	if n > snappyRatioMax*len(block) {
		return nil, snappy.ErrCorrupt
	}
	if n > cap(dst)-len(dst) {
		grown := make([]byte, len(dst), min(max(2*cap(dst), len(dst)+n), bytesMax))
		copy(grown, dst)
		dst = grown
	}
	at := len(dst)
	out, err := snappy.Decode(dst[at:at+n:at+n], block)
	if err != nil {
		return nil, err
	}
	return dst[:at+len(out)], nil
}

// snappyRatioMax bounds what a snappy block can claim: its densest element is a
// copy of 64 bytes in 3.
const snappyRatioMax = 64

// zstdWindowBytes is the window that zstd frames may ask for in any case, in bytes:
// that of level 19, the highest that isn't "ultra".
const zstdWindowBytes = 8 << 20

// decompressZstd decodes all frames into one buffer, which is the window too: it
// takes at most the larger of bytesMax and zstdWindowBytes, as the library counts
// a frame's window against the memory allowed.
func decompressZstd(src []byte, bytesMax int) ([]byte, error) {
	d, err := zstdReader(bytesMax)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return decodeZstd(d, src, nil, bytesMax)
}

func zstdReader(bytesMax int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max(bytesMax, zstdWindowBytes))))
}

// decodeZstd decodes into dst, which is empty, or a larger buffer.
func decodeZstd(d *zstd.Decoder, src, dst []byte, bytesMax int) ([]byte, error) {
	out, err := d.DecodeAll(src, dst)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(out) > bytesMax {
		return nil, ErrTooLarge
	}
	return out, err
}
