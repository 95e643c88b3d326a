package batch

import (
	"bytes"
	"io"
	"iter"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Reader reads the records of many batches: it keeps its decoders, and the memory that they decompress into.
// One goroutine uses it. The zero Reader is ready, and holds nothing.
type Reader struct {
	lz4     *lz4.Reader
	zstd    *zstd.Decoder
	zstdMax int // bytes that zstd was made for
	// chunk is what is decompressed into, as far as its capacity goes; full are those before it, free those of before Reset.
	chunk      []byte
	full, free [][]byte
	last       int // bytes of the batch before: the next is about as large
}

// Bounds of a chunk, in bytes. A Reader begins with the smallest, and takes twice as much each time.
const (
	chunkBytesMin = 64 << 10
	chunkBytesMax = 4 << 20
)

// Records is the function Records, but that what it yields stands in the batch or in memory of the Reader's, until Reset.
func (r *Reader) Records(b []byte, decompressedBytesMax int) iter.Seq2[Record, error] {
	return records(b, func(codec Codec, src []byte) ([]byte, error) { return r.decompress(codec, src, decompressedBytesMax) })
}

// Reset has the memory used again: no record that was yielded is looked at any more.
func (r *Reader) Reset() {
	r.free = append(r.free, r.full...)
	if cap(r.chunk) > 0 {
		r.free = append(r.free, r.chunk)
	}
	r.full, r.chunk = r.full[:0], nil
}

func (r *Reader) decompress(codec Codec, src []byte, bytesMax int) (out []byte, err error) {
	if codec != LZ4 && codec != Zstd {
		return decompress(codec, src, bytesMax)
	}
	room := r.room(min(max(firstBuffer(len(src), bytesMax), r.last+1), chunkBytesMax))
	room = room[:0:min(cap(room), bytesMax+1)]
	if codec == LZ4 {
		out, err = readAll(r.lz4Reader(src), room, bytesMax)
	} else if err = r.readyZstd(bytesMax); err == nil {
		out, err = decodeZstd(r.zstd, src, room, bytesMax)
	}
	if err != nil {
		return nil, decompressFailed(codec, err, bytesMax)
	}
	r.last = len(out)
	if len(out) > 0 && cap(room) > 0 && &out[0] == &room[:1][0] { // else it didn't fit
		r.chunk = r.chunk[:len(r.chunk)+len(out)]
	}
	return out[:len(out):len(out)], nil
}

// room returns free memory, n bytes at least, at most chunkBytesMax.
func (r *Reader) room(n int) []byte {
	for cap(r.chunk)-len(r.chunk) < n {
		size := max(chunkBytesMin, n, min(2*cap(r.chunk), chunkBytesMax))
		if cap(r.chunk) > 0 {
			r.full = append(r.full, r.chunk)
		}
		r.chunk = nil
		if last := len(r.free) - 1; last >= 0 {
			r.chunk, r.free = r.free[last][:0], r.free[:last]
		} else {
			r.chunk = make([]byte, 0, size)
		}
	}
	return r.chunk[len(r.chunk):len(r.chunk):cap(r.chunk)]
}

func (r *Reader) lz4Reader(src []byte) io.Reader {
	if r.lz4 == nil {
		r.lz4 = lz4.NewReader(bytes.NewReader(src))
	} else {
		r.lz4.Reset(bytes.NewReader(src))
	}
	return r.lz4
}

func (r *Reader) readyZstd(bytesMax int) (err error) {
	if r.zstd == nil || r.zstdMax != bytesMax {
		r.zstd, err = zstdReader(bytesMax)
		r.zstdMax = bytesMax
	}
	return err
}
