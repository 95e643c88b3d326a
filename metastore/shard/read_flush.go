package shard

import "github.com/wadi-io/wadi/metastore"

// ReadFlush decodes the body of a flush effect: the number of its segment, and its batches.
func ReadFlush(body []byte) (segmentNumber uint64, batches []FlushBatch, err error) {
	d := metastore.Decoder{Rest: body}
	r := readFlush(&d)
	for range r.count {
		if err := r.next(); err != nil {
			return 0, nil, err
		}
		batches = append(batches, r.batch)
	}
	return r.segment, batches, atEnd(&d)
}
