package bucket_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// TestS3_PutSendsBodiesOfAnySize: they arrive as they are, also on a connection that was used before.
func TestS3_PutSendsBodiesOfAnySize(t *testing.T) {
	var got []byte
	b := openAnswered(t, func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if got, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	})
	for i, size := range []int{0, 1, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 9 << 20, 5} {
		body := buckettest.Body(uint64(i), size)
		if err := b.Put(t.Context(), "k", body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %d arrived, %v", size, len(got), err)
		}
	}
}

// TestS3_PutLetsGoOfTheBody: nothing reads it once Put has returned, also where the
// server answers before it has taken it, or doesn't answer. (The race detector looks.)
func TestS3_PutLetsGoOfTheBody(t *testing.T) {
	ended := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"an early answer": func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusServiceUnavailable, "SlowDown") },
		"no answer":       func(http.ResponseWriter, *http.Request) { <-ended },
	} {
		t.Run(name, func(t *testing.T) {
			setKeys(t)
			server := httptest.NewServer(answer)
			b := open(t, buckettest.S3URL("b", server.URL))
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				body := buckettest.Body(1, 32<<20)
				if err := b.Put(ctx, "k", body); err == nil {
					t.Error("no error")
				}
				clear(body)
				cancel()
			}
		})
	}
	close(ended)
}

// TestS3_PutTakesAKnownChecksum: the server is told what the caller knows, and compares.
func TestS3_PutTakesAKnownChecksum(t *testing.T) {
	var told string
	b := openAnswered(t, func(_ http.ResponseWriter, r *http.Request) { told = r.Header.Get("X-Amz-Checksum-Crc32c") })
	if err := b.Put(bucket.Checksummed(t.Context(), 0xE3069283), "k", []byte("987654321")); err != nil || told != "4waSgw==" {
		t.Errorf("%q, %v", told, err)
	}
}
