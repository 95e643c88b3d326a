package wire

import (
	"encoding/binary"
	"fmt"
)

// header is what precedes the body of a request: versions 1 and 2 of Kafka's
// request header, which differ in the tagged fields (KIP-482).
type header struct {
	key, version  int16
	correlationID int32
}

// headerBytes is the size of the part that all versions share.
const headerBytes = 8

// parseHeader reads the part that all versions share, so that a request in a
// version nobody knows can be answered too.
func parseHeader(b []byte) (header, []byte, error) {
	if len(b) < headerBytes {
		return header{}, nil, fmt.Errorf("request header: %w", errShort)
	}
	return header{
		key:           int16(binary.BigEndian.Uint16(b)),
		version:       int16(binary.BigEndian.Uint16(b[2:])),
		correlationID: int32(binary.BigEndian.Uint32(b[4:])),
	}, b[headerBytes:], nil
}

// parseClientID reads the rest of the header: the client id, nil if null, and the body.
func parseClientID(b []byte, flexible bool) (clientID, body []byte, err error) {
	w := newWalker(b, false)
	n, err := w.length(&op{kind: kindString, null: true})
	if err != nil {
		return nil, nil, fmt.Errorf("request header: client id: %w", err)
	}
	if n > len(w.b) {
		return nil, nil, fmt.Errorf("request header: client id: %w", errLength)
	}
	if n >= 0 {
		clientID, w.b = w.b[:n], w.b[n:]
	}
	if flexible {
		if at, err := w.tagged(nil); err != nil {
			return nil, nil, fmt.Errorf("request header: %s: %w", at, err)
		}
	}
	return clientID, w.b, nil
}
