package follow

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/wadi-io/wadi/metastore"
)

// The kinds of frames. On the wire between agents of different releases; never renumber.
const (
	kindHello   = 1 // dialler: who I am, whom I mean
	kindWelcome = 2 // acceptor: who I am, and that I know the secret
	kindProof   = 3 // dialler: that I know it too
	kindRefused = 4 // acceptor: why not
	kindReady   = 5 // acceptor: push from now on
	kindEntries = 6 // dialler: what it has appended
	kindPing    = 7
	kindPong    = 8 // one byte: whether the acceptor is fit to serve
	kindOrigin  = 9 // dialler: on which server of the metastore it appended the entries that come
)

const (
	// frameBytesMax bounds a frame: one entry of the largest size fits.
	frameBytesMax = metastore.EntryBytesMax + 64<<10
	// frameBytesFull ends a frame of entries, in bytes.
	frameBytesFull = 256 << 10
	// helloBytesMax bounds the frames before the other end has proved itself.
	helloBytesMax = 1 << 10
	// sealBytes is the length of a frame's authentication code.
	sealBytes  = 16
	lengthSize = 4
)

// errChanged ends a stream on which a frame isn't what the peer sent.
var errChanged = errors.New("a frame was changed on its way")

// seal authenticates the frames of one direction of a stream, by their place in it.
type seal struct {
	mac  hash.Hash
	next uint64
}

func newSeal(key []byte) *seal { return &seal{mac: hmac.New(sha256.New, key)} }

// code returns the authentication code of the next frame.
func (s *seal) code(frame []byte) []byte {
	var place [8]byte
	binary.BigEndian.PutUint64(place[:], s.next)
	s.next++
	s.mac.Reset()
	s.mac.Write(place[:])
	s.mac.Write(frame)
	return s.mac.Sum(nil)[:sealBytes]
}

// beginFrame appends the begin of a frame: room for its length, and its kind.
func beginFrame(dst []byte, kind byte) []byte { return append(dst, 0, 0, 0, 0, kind) }

// endFrame completes the frame that begins at start: its code, where there is a seal, and its length.
func endFrame(dst []byte, start int, s *seal) []byte {
	if s != nil {
		dst = append(dst, s.code(dst[start+lengthSize:])...)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthSize))
	return dst
}

// readFrame reads a frame into memory of its own and checks its code, where there is a seal.
func readFrame(r *bufio.Reader, bytesMax int, s *seal) (kind byte, body []byte, err error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n, least := int64(binary.BigEndian.Uint32(head[:])), int64(1)
	if s != nil {
		least += sealBytes
	}
	if n < least || n > int64(bytesMax) {
		return 0, nil, fmt.Errorf("a frame of %d bytes, where %d to %d are allowed", n, least, bytesMax)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return 0, nil, err
	}
	if s != nil {
		end := len(frame) - sealBytes
		if !hmac.Equal(s.code(frame[:end]), frame[end:]) {
			return 0, nil, errChanged
		}
		frame = frame[:end]
	}
	return frame[0], frame[1:], nil
}

// appendEntry appends an entry to the body of a frame: journal, version, payload.
func appendEntry(dst []byte, e entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.journal))
	dst = binary.AppendUvarint(dst, uint64(e.version))
	return metastore.AppendBytes(dst, e.payload)
}

// nextEntry reads an entry from the body of a frame, which its payload aliases.
func nextEntry(d *metastore.Decoder) entry {
	return entry{"", metastore.JournalID(d.Uvarint()), metastore.Version(d.Uvarint()), d.Bytes()}
}
