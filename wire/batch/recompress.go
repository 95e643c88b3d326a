package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Recompress returns a new batch with the records of b, which is one whole batch that
// Check takes, in another codec. The level is the codec's own, as Kafka's configs
// number it (-1: gzip's default); snappy and None have none.
//
// The records are decoded on the way, with the errors of Records: what is stored anew
// can be read. The CRC is new; all else of the header stays.
func Recompress(b []byte, codec Codec, level, decompressedBytesMax int) ([]byte, error) {
	h, b, _, err := Next(b)
	if err != nil {
		return nil, err
	}
	records := b[HeaderSize:]
	if h.Codec() != None {
		if records, err = decompress(h.Codec(), records, decompressedBytesMax); err != nil {
			return nil, err
		}
	}
	plain := make([]byte, 0, HeaderSize+len(records))
	plain = seal(append(append(plain, b[:HeaderSize]...), records...), h.Attributes, None)
	for _, err := range Records(plain, decompressedBytesMax) {
		if err != nil {
			return nil, err
		}
	}
	if codec == None {
		return plain, nil
	}
	out := bytes.NewBuffer(make([]byte, 0, HeaderSize+len(records)/2))
	out.Write(b[:HeaderSize])
	if err := encode(out, codec, level, plain[HeaderSize:]); err != nil {
		return nil, fmt.Errorf("compress %d bytes with %v: %w", len(records), codec, err)
	}
	return seal(out.Bytes(), h.Attributes, codec), nil
}

// seal writes what of a header depends on its codec and records.
func seal(b []byte, attributes int16, codec Codec) []byte {
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-lengthFrom))
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(attributes&^attributeCodec)|uint16(codec))
	setCRC(b)
	return b
}

// encode appends src to dst, compressed.
func encode(dst *bytes.Buffer, codec Codec, level int, src []byte) error {
	var w io.WriteCloser
	var err error
	switch codec {
	case Gzip:
		w, err = gzip.NewWriterLevel(dst, level)
	case Snappy:
		return compressSnappy(dst, src)
	case LZ4:
		w, err = newLZ4Writer(dst, level)
	case Zstd:
		w, err = zstd.NewWriter(dst, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
	default:
		return fmt.Errorf("%w: unknown %v", ErrInvalid, codec)
	}
	if err != nil {
		return err
	}
	if _, err := w.Write(src); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}

// lz4LevelFast is Kafka's default level, which means the fast compressor; others
// are levels of the slow one.
const lz4LevelFast = 9

func newLZ4Writer(dst io.Writer, level int) (io.WriteCloser, error) {
	levels := [...]lz4.CompressionLevel{lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}
	chosen := lz4.Fast
	if level != lz4LevelFast {
		chosen = levels[min(max(level, 1), len(levels))-1]
	}
	w := lz4.NewWriter(dst)
	// As Kafka: blocks of 64 KiB that don't depend on one another, no checksum of the content.
	err := w.Apply(lz4.CompressionLevelOption(chosen), lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1))
	return w, err
}

// snappyBlockBytes is what goes into one block of xerial's framing, as in Kafka.
const snappyBlockBytes = 32 << 10

// compressSnappy writes xerial's framing, which every client of Kafka reads.
func compressSnappy(dst *bytes.Buffer, src []byte) error {
	dst.WriteString(xerialMagic)
	dst.Write([]byte{0, 0, 0, 1, 0, 0, 0, 1})
	block := make([]byte, 0, snappy.MaxEncodedLen(min(len(src), snappyBlockBytes)))
	for len(src) > 0 {
		n := min(len(src), snappyBlockBytes)
		encoded := snappy.Encode(block[:cap(block)], src[:n])
		dst.Write(binary.BigEndian.AppendUint32(nil, uint32(len(encoded))))
		dst.Write(encoded)
		src = src[n:]
	}
	return nil
}
