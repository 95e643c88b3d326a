package batch

import (
	"bytes"
	"io"

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
	cursor     cursor
	headers    headerRoom
}

// Bounds of a chunk, in bytes. A Reader begins with the smallest, and takes twice as much each time.
const (
	chunkBytesMin = 64 << 10
	chunkBytesMax = 4 << 20
)

// Open begins with the records of the batch that b begins with; it is to Next what the function Records is to its
// iteration. What Next decodes stands in the batch or in memory of the Reader's, until Reset.
func (r *Reader) Open(b []byte, decompressedBytesMax int) {
	r.cursor.d.room = &r.headers
	r.cursor.open(b, func(codec Codec, src []byte) ([]byte, error) { return r.decompress(codec, src, decompressedBytesMax) })
}

// Next decodes the next record into what the caller has for it, all fields. False: there is none, or Err says why.
func (r *Reader) Next(into *Record) bool { return r.cursor.next(into) }

// Err is what ended the records of the batch that was opened last, nil if they came to their end.
func (r *Reader) Err() error { return r.cursor.err }

// Reset has the memory used again: no record that was yielded is looked at any more.
func (r *Reader) Reset() {
	r.free = append(r.free, r.full...)
	if cap(r.chunk) > 0 {
		r.free = append(r.free, r.chunk)
	}
	r.full, r.chunk, r.cursor, r.headers = r.full[:0], nil, cursor{}, headerRoom{}
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
