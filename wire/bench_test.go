package wire

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkCheckAndDecode shows the CPU a byte of the bodies that cost most: at most 50 ns.
func BenchmarkCheckAndDecode(b *testing.B) {
	for _, x := range []struct {
		name         string
		key, version int16
		worst        worst
	}{
		{"metadata of one-letter topics", 3, 9, worst{flexible: true, target: "/topics"}},
		{"metadata with unknown tags", 3, 13, worst{flexible: true, tagged: true, target: "/topics"}},
		{"configs", 19, 7, worst{flexible: true, target: "/topics/configs"}},
		{"configs with unknown tags", 19, 7, worst{flexible: true, tagged: true, target: "/topics/configs"}},
		{"resources with unknown tags", 32, 4, worst{flexible: true, tagged: true, target: "/resources"}},
		{"fetch topics", 1, 12, worst{flexible: true, target: "/topics"}},
		{"produce topics", 0, 9, worst{flexible: true, target: "/topics"}},
	} {
		b.Run(x.name, func(b *testing.B) {
			p := programOf(x.key, x.version)
			body := x.worst.largest(p)
			for b.Loop() {
				r := &Request{Key: p.key, Version: p.version, body: body}
				counted, err := p.check(body)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.decode(p, counted); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(body)), "ns/byte")
		})
	}
}

func BenchmarkProduce(b *testing.B) {
	raw := [][]byte{make([]byte, 30)}
	s, err := NewServer(ServerConfig{Limits: DefaultLimits()}, []Route{produceRoute(
		func(context.Context, *Request) func(context.Context) Answer {
			return func(context.Context) Answer { return Answer{Raw: raw} }
		})})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, ln) }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	if err := m.ReadFrom(produceBody(9, 1, 16, 60_000)); err != nil {
		b.Fatal(err)
	}
	request, answer := frame(1, m), make([]byte, 4+5+30)
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(nc, answer); err != nil {
			b.Fatal(err)
		}
	}
	nc.Close()
	cancel()
	<-served
	ln.Close()
}
