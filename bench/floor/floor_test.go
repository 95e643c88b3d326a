package floor_test

import (
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/wadi-io/wadi/bench/fakes3"
	"github.com/wadi-io/wadi/bench/floor"
	"github.com/wadi-io/wadi/bench/load"
)

// serve runs a floor in front of a fake bucket.
func serve(t *testing.T) (address string, bucket *fakes3.Server) {
	t.Helper()
	bucket = fakes3.New(fakes3.DefaultConfig())
	h := httptest.NewServer(bucket)
	t.Cleanup(h.Close)
	cfg := floor.DefaultConfig()
	cfg.Bucket, cfg.Linger, cfg.SegmentBytes = h.URL+"/b", time.Millisecond, 64<<10
	s, err := floor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), bucket
}

func TestFloor_TakesWhatTheLoadSends(t *testing.T) {
	address, bucket := serve(t)
	shape := load.Shape{Topic: "t", Partitions: 4, PerRequest: 2, BatchRecords: 3, RecordBytes: 100}
	p, err := load.StartProduce(t.Context(), load.Produce{Address: address, Shape: shape, Connections: 3, Depth: 2})
	if err != nil {
		t.Fatal(err)
	}
	for p.Look().Requests < 500 {
		select {
		case <-p.Failed():
			t.Fatal(p.Stop())
		case <-time.After(time.Millisecond):
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	got := p.Look()
	if got.Records != got.Requests*6 || got.Bytes != got.Records*100 || got.Times.Count() != int(got.Requests) {
		t.Errorf("%d requests, %d records, %d bytes, %d times", got.Requests, got.Records, got.Bytes, got.Times.Count())
	}
	if put := bucket.Counters(); put.BytesIn < got.Bytes || put.Puts == 0 {
		t.Errorf("%d bytes of %d are in the bucket: %+v", put.BytesIn, got.Bytes, put)
	}
}

func TestFloor_IsRead(t *testing.T) {
	address, _ := serve(t)
	r, err := load.StartFetch(t.Context(), load.Fetch{Address: address, Topic: "t", Partitions: 16, Readers: 2, RequestBytesMax: 1 << 20, PartitionBytesMax: 128 << 10, Until: slices.Repeat([]int64{16 * 64}, 16)})
	if err != nil {
		t.Fatal(err)
	}
	for r.Look().Records < 100_000 {
		select {
		case <-r.Failed():
			t.Fatal(r.Stop())
		case <-time.After(time.Millisecond):
		}
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if got := r.Look(); got.Bytes < got.Records*1024 || got.Records%64 != 0 {
		t.Errorf("%d records, %d bytes", got.Records, got.Bytes)
	}
}
