package buckettest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// EmulatorVariable is the environment variable by which a process reaches
// fake-gcs-server; its value is HOST:PORT.
const EmulatorVariable = "STORAGE_EMULATOR_HOST"

// GCS is fake-gcs-server on this machine, for programs that are no tests. It stops
// with the process that started it, if not before.
type GCS struct {
	Address string // HOST:PORT
	stop    func()
}

// StartFakeGCS starts fake-gcs-server, as FakeGCS does, but sets no variable. dir is
// where it runs; its objects are in memory.
func StartFakeGCS(dir string) (*GCS, error) {
	program, err := fetchTool("github.com/fsouza/fake-gcs-server", fakeGCSVersion)
	if err != nil {
		return nil, err
	}
	address, err := findAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(address, ":")
	_, stop, err := launch(dir, "server started at", nil, program, "-scheme", "http", "-host", host, "-port", port,
		"-backend", "memory", "-public-host", address, "-external-url", "http://"+address)
	if err != nil {
		return nil, err
	}
	return &GCS{Address: address, stop: stop}, nil
}

// Create makes a bucket; GCSURL is its URL.
func (g *GCS) Create(ctx context.Context, name string) error {
	body := strings.NewReader(`{"name":"` + name + `"}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address+"/storage/v1/b?project=wadi", body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("make the bucket: %s", answer.Status)
	}
	return nil
}

// Stop ends the server.
func (g *GCS) Stop() { g.stop() }

// GCSURL is the URL of a bucket.
func GCSURL(name string) string { return (&url.URL{Scheme: "gs", Host: name}).String() }
