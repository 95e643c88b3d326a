package buckettest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The keys that the tests' S3 servers take.
const (
	accessKey = "wadi-tests"
	secretKey = "wadi-tests-secret"
	region    = "us-east-1"
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
func Moto(t testing.TB) *Server {
	t.Helper()
	python, err := fetchMoto()
	if err != nil {
		t.Fatal(err)
	}
	setKeys(t)
	line := start(t, "Running on http://", []string{"PYTHONUNBUFFERED=1"}, python, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
	return newS3Server("http://" + after(t, line, "Running on http://"))
}

// MinIO starts MinIO, which it builds from its module once: that takes minutes.
// It sets AWS_* variables.
func MinIO(t testing.TB) *Server {
	t.Helper()
	program, err := fetchTool("github.com/minio/minio", minioVersion)
	if err != nil {
		t.Fatal(err)
	}
	setKeys(t)
	address := freeAddress(t)
	env := []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_UPDATE=off", "MINIO_BROWSER=off"}
	start(t, "API: http://", env, program, "server", "--address", address, t.TempDir())
	return newS3Server("http://" + address)
}

// FakeGCS starts fake-gcs-server, which it builds from its module once: that takes
// a minute or two. It sets STORAGE_EMULATOR_HOST.
func FakeGCS(t testing.TB) *Server {
	t.Helper()
	program, err := fetchTool("github.com/fsouza/fake-gcs-server", fakeGCSVersion)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	start(t, "server started at", nil, program, "-scheme", "http", "-host", host, "-port", port,
		"-backend", "memory", "-public-host", address, "-external-url", "http://"+address)
	t.Setenv("STORAGE_EMULATOR_HOST", address)
	return &Server{Endpoint: "http://" + address, create: func(t testing.TB, name string) string {
		answer, err := http.Post("http://"+address+"/storage/v1/b?project=wadi", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("make the bucket: %s", answer.Status)
		}
		return "gs://" + name
	}}
}

func setKeys(t testing.TB) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "") // Restores it.
		os.Unsetenv(name)  // Empty isn't unset to all who read it.
	}
}

func newS3Server(endpoint string) *Server {
	client := s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		}),
	})
	return &Server{Endpoint: endpoint, create: func(t testing.TB, name string) string {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatalf("make the bucket: %v", err)
		}
		return S3URL(name, endpoint)
	}}
}

// S3URL is the URL of a bucket of a server that has no names of its own for buckets.
func S3URL(name, endpoint string) string {
	q := url.Values{"endpoint": {endpoint}, "s3ForcePathStyle": {"true"}, "region": {region}}
	return (&url.URL{Scheme: "s3", Host: name, RawQuery: q.Encode()}).String()
}
