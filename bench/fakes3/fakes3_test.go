package fakes3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
	"github.com/wadi-io/wadi/bench/fakes3"
)

func TestMain(m *testing.M) {
	for name, value := range buckettest.Keys() {
		if value == "" {
			os.Unsetenv(name)
			continue
		}
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

func serve(t *testing.T, cfg fakes3.Config) (*fakes3.Server, *httptest.Server) {
	t.Helper()
	s := fakes3.New(cfg)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h
}

func open(t *testing.T, endpoint string) bucket.Bucket {
	t.Helper()
	b, closer, err := bucket.Open(t.Context(), buckettest.S3URL("b", endpoint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closer.Close() })
	return b
}

func TestConformance(t *testing.T) {
	buckettest.RunWithoutParts(t, func(t *testing.T) bucket.Bucket {
		_, h := serve(t, fakes3.DefaultConfig())
		return open(t, h.URL)
	})
}

func TestServer_DropsTheOldestBodiesAndCountsTheirReads(t *testing.T) {
	cfg := fakes3.DefaultConfig()
	cfg.KeepBytes = 3 << 20
	s, h := serve(t, cfg)
	b := open(t, h.URL)
	for _, key := range []string{"segments/1/1", "kept", "segments/1/2", "segments/1/3", "segments/1/4"} {
		if err := b.Put(t.Context(), key, bytes.Repeat([]byte(key[len(key)-1:]), 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Get(t.Context(), "segments/1/1", 0, -1); err == nil || errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("the body that was dropped: %v", err)
	}
	for _, key := range []string{"kept", "segments/1/2", "segments/1/4"} {
		body, err := b.Get(t.Context(), key, 0, -1)
		if err != nil || len(body) != 1<<20 || body[0] != key[len(key)-1] {
			t.Errorf("%s: %d bytes, %v", key, len(body), err)
		}
	}
	if c := s.Counters(); c.Puts != 5 || c.Gets != 4 || c.DroppedReads != 1 || c.BytesIn != 5<<20 || c.BytesOut != 3<<20 {
		t.Errorf("counted %+v", c)
	}
}

func TestServer_RefusesOtherBytesAndTakesTrailers(t *testing.T) {
	_, h := serve(t, fakes3.DefaultConfig())
	put := func(body string, header map[string]string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.URL+"/b/k", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			request.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	const crcOf123456789 = "4waSgw==" // E3069283, the check value of CRC-32C
	if got := put("123456788", map[string]string{"x-amz-checksum-crc32c": crcOf123456789}); got != http.StatusBadRequest {
		t.Errorf("other bytes: %d", got)
	}
	chunks := "5\r\n12345\r\n4\r\n6789\r\n0\r\nx-amz-checksum-crc32c:" + crcOf123456789 + "\r\n\r\n"
	header := map[string]string{"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "9"}
	if got := put(chunks, header); got != http.StatusOK {
		t.Errorf("chunks with a trailer: %d", got)
	}
	if got := put(strings.Replace(chunks, "6789", "6780", 1), header); got != http.StatusBadRequest {
		t.Errorf("chunks with another trailer: %d", got)
	}
	body, err := open(t, h.URL).Get(t.Context(), "k", 0, -1)
	if string(body) != "123456789" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// A thousand draws of a profile have its median and its 99th percentile.
func TestProfiles_HaveTheirPercentiles(t *testing.T) {
	for _, p := range fakes3.Profiles() {
		draws := fakes3.Draws(p, 20_000)
		slices.Sort(draws)
		for share, want := range map[float64]time.Duration{0.50: p.P50, 0.99: p.P99} {
			got := draws[int(share*float64(len(draws)))]
			if math.Abs(float64(got-want)) > 0.05*float64(want) {
				t.Errorf("%s: p%.0f is %v, not %v", p.Name, 100*share, got, want)
			}
		}
	}
	if _, err := fakes3.ProfileOf("glacier"); err == nil {
		t.Error("a profile that isn't there was found")
	}
}

func TestClient_ChangesTheWeather(t *testing.T) {
	_, h := serve(t, fakes3.DefaultConfig())
	c := fakes3.Client{Endpoint: h.URL}
	if err := c.SetWeather(context.Background(), "zero", 1); err != nil {
		t.Fatal(err)
	}
	if err := open(t, h.URL).Put(t.Context(), "k", []byte("x")); err == nil {
		t.Error("a put was taken where all are refused")
	}
	if got, err := c.Counters(t.Context()); err != nil || got.Refused == 0 || got.Puts != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.SetWeather(t.Context(), "glacier", 0); err == nil {
		t.Error("a profile that isn't there was set")
	}
}
