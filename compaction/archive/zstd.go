package archive

import (
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is how far back a page's compression looks, in bytes: more than a page has.
	zstdWindow = 2 << 20
	// zstdAtOnce bounds the pages that are compressed at the same time; further ones wait.
	zstdAtOnce = 2
)

// zstdCodec is the library's but that its encoder is made once: the library makes one for each page,
// which takes longer than to compress it.
type zstdCodec struct {
	compress.Codec
	encoder *zstd.Encoder
}

// EncodeLevel ignores the level: all objects have the same.
func (c zstdCodec) EncodeLevel(dst, src []byte, _ int) []byte {
	return c.encoder.EncodeAll(src, dst[:0])
}

// The library has its codecs in a table of its own, which is read without a lock: so ours is
// entered before anything runs.
var _ = registerZstd()

func registerZstd() error {
	codec, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderConcurrency(zstdAtOnce), zstd.WithWindowSize(zstdWindow))
	if err != nil {
		return err
	}
	compress.RegisterCodec(compress.Codecs.Zstd, zstdCodec{codec, encoder})
	return nil
}
