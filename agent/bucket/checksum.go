package bucket

import (
	"context"
	"hash/crc32"
)

type checksumKey struct{}

// Checksummed tells a Put the CRC-32C of its body, which is known then, so that the
// bucket need not look at the body for it. One that is wrong fails the Put.
func Checksummed(ctx context.Context, crc32c uint32) context.Context {
	return context.WithValue(ctx, checksumKey{}, crc32c)
}

// checksumOf is the CRC-32C of the body of a Put.
func checksumOf(ctx context.Context, body []byte) uint32 {
	if crc, ok := ctx.Value(checksumKey{}).(uint32); ok {
		return crc
	}
	return crc32.Checksum(body, castagnoli)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
