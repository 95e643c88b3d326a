package fakes3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	headerCRC     = "x-amz-checksum-crc32c"
	headerDecoded = "x-amz-decoded-content-length"
)

// pieceBytes is what is read and summed at once: it is still in the processor's cache then.
const pieceBytes = 128 << 10

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string, wait func()) {
	s.count.puts.Add(1)
	size, body := r.ContentLength, io.Reader(r.Body)
	var trailer *chunked
	if strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		decoded, err := strconv.ParseInt(r.Header.Get(headerDecoded), 10, 64)
		if err != nil {
			fail(w, http.StatusLengthRequired, "MissingContentLength", headerDecoded)
			return
		}
		trailer = newChunked(r.Body)
		size, body = decoded, trailer
	}
	if size < 0 || size > 1<<bodyBitsMax {
		fail(w, http.StatusLengthRequired, "MissingContentLength", "A length of at most 1 GiB is needed.")
		return
	}
	buffer := s.store.buffer(size)
	crc, err := read(body, buffer)
	if err == nil && trailer != nil { // Its end is read beyond the last byte.
		if _, err = body.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		s.store.release(buffer)
		fail(w, http.StatusBadRequest, "IncompleteBody", "The body ended early.")
		return
	}
	s.count.in.Add(size)
	want := r.Header.Get(headerCRC)
	if trailer != nil && trailer.crc != "" {
		want = trailer.crc
	}
	if want != "" && want != checksum(crc) {
		s.store.release(buffer)
		fail(w, http.StatusBadRequest, "BadDigest", "The CRC-32C is another one.")
		return
	}
	create := r.Header.Get("If-None-Match") == "*"
	if create && s.store.has(key) {
		s.store.release(buffer)
		s.taken(w, wait)
		return
	}
	// As in S3, the object is seen when the request is answered, not before.
	wait()
	if !s.store.put(key, buffer, crc, create) {
		s.taken(w, func() {})
		return
	}
	w.Header().Set("ETag", etag(crc, size))
	w.Header().Set(headerCRC, checksum(crc))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush() // Its time ends when the answer is sent, which net/http does after the handler.
}

func (s *Server) taken(w http.ResponseWriter, wait func()) {
	s.count.taken.Add(1)
	wait()
	fail(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
}

// read fills a buffer and sums it while it is hot.
func read(from io.Reader, to []byte) (crc uint32, err error) {
	for at := 0; at < len(to); {
		n, err := from.Read(to[at:min(at+pieceBytes, len(to))])
		crc = crc32.Update(crc, castagnoli(), to[at:at+n])
		at += n
		if err != nil && at < len(to) {
			return 0, io.ErrUnexpectedEOF
		}
	}
	return crc, nil
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string, wait func()) {
	s.count.gets.Add(1)
	o, done, found := s.store.open(key)
	if !found {
		wait()
		fail(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	defer done()
	if o.body == nil {
		s.count.dropped.Add(1)
		fail(w, http.StatusInternalServerError, "InternalError", "The body was dropped: keep more bytes.")
		return
	}
	from, to := int64(0), o.size
	status := http.StatusOK
	if header := r.Header.Get("Range"); header != "" {
		var ok bool
		if from, to, ok = span(header, o.size); !ok {
			wait()
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable")
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, o.size))
	} else {
		w.Header().Set(headerCRC, checksum(o.crc))
		w.Header().Set("x-amz-checksum-type", "FULL_OBJECT")
	}
	describe(w, o, to-from)
	wait()
	s.count.out.Add(to - from) // Before whoever reads it can ask for the counters.
	w.WriteHeader(status)
	w.Write(o.body[from:to]) // Its connection is gone otherwise.
}

func describe(w http.ResponseWriter, o object, length int64) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.Header().Set("ETag", etag(o.crc, o.size))
	w.Header().Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
}

// span is the part of an object that a Range header names.
func span(header string, size int64) (from, to int64, ok bool) {
	first, last, dash := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !dash || err != nil || from >= size {
		return 0, 0, false
	}
	if last == "" {
		return from, size, true
	}
	to, err = strconv.ParseInt(last, 10, 64)
	if err != nil || to < from {
		return 0, 0, false
	}
	return from, min(to, size-1) + 1, true
}

func (s *Server) head(w http.ResponseWriter, key string, wait func()) {
	s.count.heads.Add(1)
	o, done, found := s.store.open(key)
	wait()
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	done()
	w.Header().Set(headerCRC, checksum(o.crc))
	describe(w, o, o.size)
}

// deleteBytesMax bounds a request that deletes many.
const deleteBytesMax = 4 << 20

func (s *Server) deleteMany(w http.ResponseWriter, r *http.Request, wait func()) {
	s.count.deletes.Add(1)
	var request struct {
		Object []struct{ Key string }
	}
	if err := xml.NewDecoder(io.LimitReader(r.Body, deleteBytesMax)).Decode(&request); err != nil {
		fail(w, http.StatusBadRequest, "MalformedXML", "It is not well-formed.")
		return
	}
	for _, o := range request.Object {
		s.store.remove(o.Key)
	}
	wait()
	answer(w, struct {
		XMLName xml.Name `xml:"DeleteResult"`
	}{})
}

// listMax is the most that S3 lists at once.
const listMax = 1000

func (s *Server) list(w http.ResponseWriter, query url.Values, wait func()) {
	s.count.lists.Add(1)
	limit := listMax
	if text := query.Get("max-keys"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			fail(w, http.StatusBadRequest, "InvalidArgument", "max-keys")
			return
		}
		limit = min(n, listMax)
	}
	after := query.Get("start-after")
	if token := query.Get("continuation-token"); token != "" {
		after = token
	}
	found, more := s.store.list(query.Get("prefix"), after, limit)
	type content struct {
		Key          string
		LastModified string
		Size         int64
	}
	result := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Prefix                string
		KeyCount              int
		MaxKeys               int
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []content
	}{Prefix: query.Get("prefix"), KeyCount: len(found), MaxKeys: limit, IsTruncated: more}
	for _, o := range found {
		result.Contents = append(result.Contents, content{o.Key, o.Time.UTC().Format(time.RFC3339Nano), o.Size})
	}
	if more && len(found) > 0 {
		result.NextContinuationToken = found[len(found)-1].Key
	}
	wait()
	answer(w, result)
}

func answer(w http.ResponseWriter, message any) {
	body, err := xml.Marshal(message)
	if err != nil {
		fail(w, http.StatusInternalServerError, "InternalError", "It can't be coded.")
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(body)))
	io.WriteString(w, xml.Header)
	w.Write(body)
}
