package load

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wadi-io/wadi/wire/batch"
)

func TestHistogram_IsExactToASixtyFourth(t *testing.T) {
	var h Histogram
	random := rand.New(rand.NewPCG(1, 1))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		h.Add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want, got := all[int(q*float64(len(all)))], h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/64)+1 {
			t.Errorf("quantile %v: %v, exactly %v", q, got, want)
		}
	}
	if h.Count() != len(all) || (&Histogram{}).Quantile(0.5) != 0 {
		t.Error(h.Count())
	}
	for _, d := range []time.Duration{-1, 0, 63, 64, 65, 1 << 39, 1 << 45} {
		if b := bucketOf(d); b < 0 || b >= buckets || d > 0 && d < 1<<topBits && upper(b) < d {
			t.Errorf("%d is in bucket %d, which ends at %d", d, b, upper(b))
		}
	}
}

// answerOne answers requests of one batch until the connection ends.
func answerOne(c net.Conn) {
	var length [4]byte
	for {
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		answer := append([]byte{0, 0, 0, 0}, request[4:8]...)      // its length, the correlation id
		answer = append(answer, 0, 2, 2, 't', 2, 0, 0, 0, 0, 0, 0) // no tags; topic t; partition 0, no error
		answer = append(answer, make([]byte, 24)...)
		answer = append(answer, 1, 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// A stall is charged for all requests that were due in it, not for the one that met it.
func TestOpenLoop_OmitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall, rate = 300 * time.Millisecond, 200
		client, broker := net.Pipe()
		answering := make(chan struct{})
		go func() {
			defer close(answering)
			time.Sleep(stall)
			answerOne(broker)
		}()
		p, err := StartProduce(t.Context(), Produce{
			Shape:       Shape{Topic: "t", Partitions: 1, PerRequest: 1, BatchRecords: 1, RecordBytes: 10},
			Connections: 1, Rate: rate,
			Dial: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		<-answering
		// Some 60 were due during the stall, 40 of them 100 ms and more before its end.
		times := p.Look().Times
		if n := times.Count(); n < 150 || n > 250 {
			t.Errorf("%d requests in a second", n)
		}
		slow := 0
		for times.Quantile(1-float64(slow+1)/float64(times.Count())) >= 100*time.Millisecond {
			slow++
		}
		if slow < 25 || slow > 55 {
			t.Errorf("%d of %d requests were charged with 100 ms of a stall of %v", slow, times.Count(), stall)
		}
	})
}

// What is patched into a request is what the broker will read.
func TestRenew_MakesValidBatches(t *testing.T) {
	shape := Shape{Topic: "t", Partitions: 4, PerRequest: 2, BatchRecords: 3, RecordBytes: 50, Idempotent: true, Stamped: true}
	bodies, err := shape.bodies(1, 0, 1000)
	if err != nil || len(bodies) != 2 {
		t.Fatal(len(bodies), err)
	}
	c := &producer{load: &Producers{cfg: Produce{Shape: shape}}, bodies: bodies, ids: producerID{7, 2, make([]int32, 4)}}
	due := time.Now()
	for round := range 2 {
		for i := range bodies {
			c.renew(&bodies[i], due)
			for _, p := range bodies[i].places {
				b := bodies[i].bytes[p.at : p.at+p.size]
				h, err := batch.Check(b)
				if err != nil || h.ProducerID != 7 || h.ProducerEpoch != 2 || h.BaseSequence != int32(3*round) {
					t.Errorf("%+v, %v", h, err)
				}
				if got := int64(binary.BigEndian.Uint64(b[stampAt(b):])); got != due.UnixNano() {
					t.Errorf("stamped %d, not %d", got, due.UnixNano())
				}
			}
		}
	}
}
