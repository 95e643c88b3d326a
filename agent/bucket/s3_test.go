package bucket_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// setKeys gives the SDK credentials, and nothing of the machine's.
func setKeys(t testing.TB) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// openAnswered opens an S3 bucket whose server is a function.
func openAnswered(t *testing.T, answer http.HandlerFunc) bucket.Bucket {
	t.Helper()
	setKeys(t)
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return open(t, buckettest.S3URL("b", server.URL))
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	io.WriteString(w, "<Error><Code>"+code+"</Code><Message>words</Message></Error>")
}

// TestS3_Put: one request, create-only, its CRC-32C in a signed header, the body unsigned.
func TestS3_Put(t *testing.T) {
	requests := 0
	b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "123456789" || r.Method != http.MethodPut || r.URL.Path != "/b/a/k" {
			t.Errorf("%s %s: %q, %v", r.Method, r.URL, body, err)
		}
		for name, want := range map[string]string{
			"If-None-Match": "*", "X-Amz-Checksum-Crc32c": "4waSgw==", // of 123456789: 0xE3069283
			"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "Content-Length": "9", "Content-Encoding": "", "X-Amz-Trailer": "",
		} {
			if got := r.Header.Get(name); got != want && name != "Content-Length" || name == "Content-Length" && r.ContentLength != 9 {
				t.Errorf("%s: %q; want %q", name, got, want)
			}
		}
		for _, name := range []string{"if-none-match", "x-amz-checksum-crc32c"} {
			if !strings.Contains(r.Header.Get("Authorization"), name) {
				t.Errorf("%s isn't signed: %s", name, r.Header.Get("Authorization"))
			}
		}
	})
	if err := b.Put(t.Context(), "a/k", []byte("123456789")); err != nil || requests != 1 {
		t.Errorf("%v, %d requests", err, requests)
	}
}

func TestS3_Errors(t *testing.T) {
	for _, c := range []struct {
		status    int
		code      string
		put, read error
	}{
		{412, "PreconditionFailed", bucket.ErrExists, nil},
		{404, "NoSuchKey", nil, bucket.ErrNotFound},
		{404, "NoSuchBucket", bucket.ErrNoBucket, bucket.ErrNoBucket},
		{403, "AccessDenied", bucket.ErrDenied, bucket.ErrDenied},
		{503, "SlowDown", bucket.ErrSlowDown, bucket.ErrSlowDown},
		{429, "TooManyRequests", bucket.ErrSlowDown, bucket.ErrSlowDown},
		{507, "XMinioStorageFull", bucket.ErrFull, nil},
		{409, "ConditionalRequestConflict", nil, nil},
		{500, "InternalError", nil, nil},
	} {
		t.Run(c.code, func(t *testing.T) {
			requests := 0
			b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("Retry-After", "7")
				refuse(w, c.status, c.code)
			})
			put := b.Put(t.Context(), "k", []byte("x"))
			_, read := b.Get(t.Context(), "k", 0, -1)
			for op, got := range map[string][2]error{"put": {put, c.put}, "get": {read, c.read}} {
				known := errors.Is(got[0], bucket.ErrExists) || errors.Is(got[0], bucket.ErrNotFound) || errors.Is(got[0], bucket.ErrNoBucket)
				if got[0] == nil || got[1] != nil && !errors.Is(got[0], got[1]) || got[1] == nil && known && c.status != 404 && c.status != 412 {
					t.Errorf("%s: %v; want %v", op, got[0], got[1])
				}
			}
			var slow *bucket.SlowDownError
			if errors.As(put, &slow) != (c.put == bucket.ErrSlowDown) || slow != nil && slow.After != 7*time.Second {
				t.Errorf("slow down: %+v", slow)
			}
			if requests != 2 {
				t.Errorf("%d requests: the SDK must not repeat them", requests)
			}
		})
	}
}

// TestS3_WrongAnswers: bytes that aren't what was asked for are an error, never data.
func TestS3_WrongAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"the whole for a part": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "0123456789")
		},
		"another part": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-3/10")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "0123")
		},
		"more than was asked for": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-9/10")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "23456789")
		},
		"cut off": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-5/10")
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "23")
		},
		"less than was asked for": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 2-3/10")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "23")
		},
		"a page of a proxy": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "<html>bad gateway")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openAnswered(t, answer)
			if got, err := b.Get(t.Context(), "k", 2, 4); err == nil {
				t.Errorf("get: %q", got)
			}
			if n, err := b.GetInto(t.Context(), "k", 2, make([]byte, 4)); err == nil {
				t.Errorf("get into: %d", n)
			}
		})
	}
}

// TestS3_EndOfAnObject: only there an answer is shorter than the range.
func TestS3_EndOfAnObject(t *testing.T) {
	for _, says := range []string{"bytes 2-3/4", "bytes 2-3/*"} {
		b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", says)
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "23")
		})
		for _, length := range []int64{2, 4, -1} {
			if got, err := b.Get(t.Context(), "k", 2, length); err != nil || string(got) != "23" {
				t.Errorf("%s, %d bytes: %q, %v", says, length, got, err)
			}
		}
	}
}

// TestS3_ListOverEmptyPages: a page without a key is not the end of the list. Servers that keep
// versions send such pages while they go over deleted ones.
func TestS3_ListOverEmptyPages(t *testing.T) {
	pages := map[string]string{
		"":  `<IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken>`,
		"1": `<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken><Contents><Key>a/1</Key><Size>1</Size></Contents>`,
		"2": `<IsTruncated>true</IsTruncated><NextContinuationToken>3</NextContinuationToken>`,
		"3": `<IsTruncated>false</IsTruncated><Contents><Key>a/2</Key><Size>1</Size></Contents>`,
	}
	b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Query().Get("continuation-token")]
		if !ok {
			t.Errorf("asked for %s", r.URL)
		}
		io.WriteString(w, "<ListBucketResult>"+page+"</ListBucketResult>")
	})
	found, err := b.List(t.Context(), "a/", "", bucket.ListMax)
	if err != nil || len(found) != 2 || found[0].Key != "a/1" || found[1].Key != "a/2" {
		t.Errorf("%+v, %v", found, err)
	}
	pages[""] = `<IsTruncated>true</IsTruncated>`
	if found, err := b.List(t.Context(), "a/", "", bucket.ListMax); err == nil {
		t.Errorf("a server that doesn't say where the list goes on: %+v", found)
	}
}

func TestS3_ChecksumOnRead(t *testing.T) {
	for sum, ok := range map[string]bool{"4waSgw==": true, "4waSgg==": false, "": true} {
		b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
				t.Error("the checksum wasn't asked for")
			}
			if sum != "" {
				w.Header().Set("X-Amz-Checksum-Crc32c", sum)
			}
			w.Header().Set("Content-Length", strconv.Itoa(9))
			io.WriteString(w, "123456789")
		})
		if got, err := b.Get(t.Context(), "k", 0, -1); (err == nil) != ok || ok && string(got) != "123456789" {
			t.Errorf("checksum %q: %q, %v", sum, got, err)
		}
	}
}

func TestS3_URL(t *testing.T) {
	setKeys(t)
	t.Setenv("AWS_REGION", "")
	for url, words := range map[string]string{
		"s3://":                               "a bucket has no path",
		"s3://b/folder":                       "a bucket has no path",
		"s3://b":                              "which region",
		"s3://b?region=x&no=1":                "unknown query parameter",
		"s3://b?region=x&s3ForcePathStyle=2":  "neither true nor false",
		"s3://b?endpoint=127.0.0.1:9000":      "is not http://HOST:PORT",
		"s3://b?region=eu-west-1":             "",
		"s3://b?endpoint=http://h:1":          "",
		"s3://b?region=x&anonymous=true":      "",
		"s3://b?region=x&use_path_style=true": "",
		"gs://b/folder":                       "a bucket has no path",
		"azblob://b/folder":                   "a container has no path",
	} {
		_, closer, err := bucket.Open(t.Context(), url)
		switch {
		case words == "" && err != nil, words != "" && (err == nil || !strings.Contains(err.Error(), words)):
			t.Errorf("%s: %v; want %q", url, err, words)
		case err == nil:
			closer.Close()
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, _, err := bucket.Open(t.Context(), "s3://b?region=x"); !errors.Is(err, bucket.ErrDenied) || !strings.Contains(err.Error(), "anonymous=true") {
		t.Errorf("without credentials: %v", err)
	}
}

// TestS3_CancelledPutLetsGoOfItsBody is for the race detector: the body is changed as soon as Put returns.
func TestS3_CancelledPutLetsGoOfItsBody(t *testing.T) {
	arrived, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	b := openAnswered(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-done
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	body := make([]byte, 32<<20)
	if err := b.Put(ctx, "k", body); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	for i := range body {
		body[i] = 1
	}
}
