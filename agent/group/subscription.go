package group

import "encoding/binary"

// addTopics adds the topics of a consumer's subscription, whose encoding in every
// version begins with: version (int16), topics (array of strings). It tells whether
// the bytes are one. https://github.com/apache/kafka, ConsumerProtocolSubscription.json
func addTopics(topics map[string]bool, subscription []byte) bool {
	const versionBytes, countBytes, lengthBytes = 2, 4, 2
	b := subscription
	if len(b) < versionBytes+countBytes {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[versionBytes:]))
	b = b[versionBytes+countBytes:]
	if n < 0 || int(n) > len(b)/lengthBytes {
		return false
	}
	for range n {
		if len(b) < lengthBytes {
			return false
		}
		length := int(int16(binary.BigEndian.Uint16(b)))
		b = b[lengthBytes:]
		if length < 0 || length > len(b) {
			return false
		}
		topics[string(b[:length])] = true
		b = b[length:]
	}
	return true
}
