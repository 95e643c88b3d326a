package bucket_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/wadi-io/wadi/agent/bucket"
	"github.com/wadi-io/wadi/agent/bucket/buckettest"
)

// BenchmarkPut_8MiB compares a put to S3 with a plain HTTP PUT of the same bytes. The
// sink runs in the same process, so its reading is in both figures: the difference is S3's.
func BenchmarkPut_8MiB(b *testing.B) {
	setKeys(b)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	defer sink.Close()
	body := buckettest.Body(1, 8<<20)
	s3, closer, err := bucket.Open(b.Context(), buckettest.S3URL("b", sink.URL))
	if err != nil {
		b.Fatal(err)
	}
	defer closer.Close()
	plain := func() error {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPut, sink.URL+"/b/k", bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}
	for name, put := range map[string]func() error{
		"plain": plain,
		"s3":    func() error { return s3.Put(b.Context(), "k", body) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			begin := cpuSeconds(b)
			for b.Loop() {
				if err := put(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuSeconds(b)-begin)/float64(b.N)*128, "cpu-s/GiB")
		})
	}
}

// cpuSeconds is the CPU time that this process has taken.
func cpuSeconds(b *testing.B) float64 {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}
