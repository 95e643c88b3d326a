package segment

import (
	"hash/crc32"

	"github.com/wadi-io/wadi/wire/batch"
)

// A batch brings the CRC-32C of nearly all of its bytes, which was checked when it came.
// Checksums of what is made of batches follow from theirs by arithmetic in the field of
// polynomials modulo CRC-32C's, without another look at the bytes. So they also tell of
// bytes that memory has changed since.

// combineBytesMin is from what size on combining costs less than looking.
const combineBytesMin = 8 << 10

// batchCRC returns the CRC-32C of a whole batch, whose own was checked.
func batchCRC(b []byte) uint32 {
	head := crc32.Checksum(b[:batch.CRCBegin], castagnoli)
	return appendCRC(head, batch.StoredCRC(b), shiftOf(len(b)-batch.CRCBegin))
}

// appendCRC returns the CRC-32C of bytes with CRC a followed by bytes with CRC b, which
// are as many as shift was made for.
func appendCRC(a, b, shift uint32) uint32 { return multiplyCRC(shift, a) ^ b }

// polynomialCRC is CRC-32C's without its highest term, bits reversed.
const polynomialCRC = 0x82f63b78

// multiplyCRC multiplies two polynomials, whose highest bit stands for x⁰.
func multiplyCRC(a, b uint32) uint32 {
	var product uint32
	for range 32 {
		// Without branches: the bits are random.
		product ^= b & -(a >> 31)
		a <<= 1
		b = b>>1 ^ polynomialCRC&-(b&1)
	}
	return product
}

// shiftOf returns x to the power of 8·n: what n more bytes do to a CRC.
func shiftOf(n int) uint32 {
	shift := uint32(1) << 31
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 == 1 {
			shift = multiplyCRC(crcPowers[i], shift)
		}
	}
	return shift
}

// crcPowers are x to the power of 8·2ⁱ.
var crcPowers = func() (powers [31]uint32) {
	powers[0] = 1 << (31 - 8)
	for i := 1; i < len(powers); i++ {
		powers[i] = multiplyCRC(powers[i-1], powers[i-1])
	}
	return powers
}()
