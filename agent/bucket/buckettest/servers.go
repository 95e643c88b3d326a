package buckettest

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
)

// Server is an object store that a test started. It ends with the test.
type Server struct {
	// Endpoint is its address, as http://HOST:PORT.
	Endpoint string
	next     atomic.Int64
	create   func(t testing.TB, name string) (bucketURL string)
}

// Bucket makes a new empty bucket and returns its URL, for bucket.Open.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	return s.create(t, fmt.Sprintf("wadi-%d", s.next.Add(1)))
}

// Moto starts moto's S3 server (PyPI), which it fetches into the user's cache
// folder once. It is slow, but small and quick to fetch. It sets AWS_* variables.
func Moto(t testing.TB) *Server { return s3Of(t, StartMoto) }

// MinIO starts MinIO, which it builds from its module once: that takes minutes.
// It sets AWS_* variables.
func MinIO(t testing.TB) *Server { return s3Of(t, StartMinIO) }

// s3Of starts an S3 server that ends with the test.
func s3Of(t testing.TB, start func(dir string) (*S3, error)) *Server {
	t.Helper()
	setKeys(t)
	server, err := start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return &Server{Endpoint: server.Endpoint, create: func(t testing.TB, name string) string {
		if err := server.Create(t.Context(), name); err != nil {
			t.Fatalf("make the bucket: %v", err)
		}
		return S3URL(name, server.Endpoint)
	}}
}

// FakeGCS starts fake-gcs-server, which it builds from its module once: that takes
// a minute or two. It sets STORAGE_EMULATOR_HOST.
func FakeGCS(t testing.TB) *Server {
	t.Helper()
	server, err := StartFakeGCS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	t.Setenv(EmulatorVariable, server.Address)
	return &Server{Endpoint: "http://" + server.Address, create: func(t testing.TB, name string) string {
		if err := server.Create(t.Context(), name); err != nil {
			t.Fatalf("make the bucket: %v", err)
		}
		return GCSURL(name)
	}}
}

func setKeys(t testing.TB) {
	for name, value := range Keys() {
		t.Setenv(name, value) // Restores it.
		if value == "" {
			os.Unsetenv(name) // Empty isn't unset to all who read it.
		}
	}
}
