package follow

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wadi-io/wadi/metastore"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// overTCP makes a node use real sockets.
func overTCP(t *testing.T) func(*Config, *Deps) {
	return func(_ *Config, d *Deps) {
		d.Listener, d.Dial = listen(t), dialTCP
		d.Self.Addr = d.Listener.Addr().String()
	}
}

// TestMesh_TakesNothingFromStrangers says wrong things to an agent's port: each is
// refused, and the agent goes on.
func TestMesh_TakesNothingFromStrangers(t *testing.T) {
	p := &party{t: t}
	a := p.join(1, overTCP(t))
	good := hello{protocolVersion, protocolVersion, "cluster", identity{9, 9}, "", 1, newNonce()}
	frame := func(kind byte, body []byte) []byte { return endFrame(append(beginFrame(nil, kind), body...), 0, nil) }
	of := func(change func(*hello)) []byte {
		h := good
		change(&h)
		return frame(kindHello, h.append(nil))
	}
	for name, row := range map[string]struct {
		said    []byte
		refused refusal // 0: closed without a word
	}{
		"HTTP":               {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0},
		"a frame of 4 GiB":   {[]byte{255, 255, 255, 255, 1}, 0},
		"an empty frame":     {[]byte{0, 0, 0, 0}, 0},
		"another kind":       {frame(kindEntries, []byte("x")), 0},
		"another magic":      {frame(kindHello, []byte("\x03abc")), 0},
		"a short hello":      {frame(kindHello, good.append(nil)[:40]), 0},
		"a later protocol":   {of(func(h *hello) { h.versionMin, h.versionMax = 2, 3 }), refusedVersion},
		"another cluster":    {of(func(h *hello) { h.cluster = "another" }), refusedCluster},
		"another term":       {of(func(h *hello) { h.to = 2 }), refusedTerm},
		"the agent's own":    {of(func(h *hello) { h.from.term = 1 }), refusedTerm},
		"no proof":           {append(frame(kindHello, good.append(nil)), frame(kindProof, make([]byte, 32))...), refusedSecret},
		"entries, not proof": {append(frame(kindHello, good.append(nil)), frame(kindEntries, payload(9, 1, "x"))...), refusedSecret},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dialTCP(t.Context(), a.deps.Self.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write(row.said); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if row.refused != 0 && !bytes.HasSuffix(answer, frame(kindRefused, []byte{byte(row.refused)})) {
				t.Errorf("answered %q, %v", answer, err)
			}
			if row.refused == 0 && len(answer) > 0 {
				t.Errorf("answered %q", answer)
			}
		})
	}
	if a.sink.said() != "[]" || a.Stats().Streams != 0 {
		t.Error(a.sink.said(), a.Stats())
	}
	b := p.join(2, overTCP(t))
	eventually(t, "peers meet", func() bool { return a.Reachable(2) && b.Reachable(1) })
}

// TestMesh_OneFromAnotherTerm pushes an entry that isn't of the pusher's term: the
// stream ends.
func TestMesh_OneFromAnotherTerm(t *testing.T) {
	p := &party{t: t}
	a, b := p.join(1, overTCP(t)), p.join(2, overTCP(t))
	eventually(t, "peers meet", func() bool { return a.Reachable(2) })
	a.Publish("", []metastore.AppendPart{{Journal: shard0, Payload: payload(5, 1, "x")}}, []metastore.Version{1})
	eventually(t, "the stream ends", func() bool { return a.Stats().StreamsEnded == 1 })
	if b.sink.said() != "[]" {
		t.Error(b.sink.said())
	}
}

func TestMesh_StreamsAreBounded(t *testing.T) {
	p := &party{t: t}
	a := p.join(1, func(c *Config, d *Deps) { overTCP(t)(c, d); c.StreamsMax = 2 })
	for range 2 {
		conn, err := dialTCP(t.Context(), a.deps.Self.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	eventually(t, "both are taken", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.mu.taken == 2 })
	third, err := dialTCP(t.Context(), a.deps.Self.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if n, _ := third.Read(make([]byte, 1)); n != 0 {
		t.Error("a stream beyond the bound was answered")
	}
}

// authority signs certificates for 127.0.0.1 into a folder.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	a.file, a.key, _ = a.sign(a.cert, a.cert, nil)
	return a
}

func (a *authority) sign(cert, by *x509.Certificate, with *ecdsa.PrivateKey) (file string, key *ecdsa.PrivateKey, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if with == nil {
		with = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by, &key.PublicKey, with)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	file, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{file: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return file, key, keyFile
}

// with has a node show a certificate of the authority and trust another one's.
func (a *authority) with(trusted *authority) func(*Config, *Deps) {
	cert, _, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "agent"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}, a.cert, a.key)
	return func(c *Config, d *Deps) {
		overTCP(a.t)(c, d)
		var err error
		if c.TLS, err = LoadTLS(cert, key, trusted.file); err != nil {
			a.t.Fatal(err)
		}
		c.Secret = nil
	}
}

func TestMesh_Certificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	p := &party{t: t}
	a, b := p.join(1, ours.with(ours)), p.join(2, ours.with(ours))
	strangers := []*node{
		p.join(3, theirs.with(ours)), // trusts us, but isn't trusted
		p.join(4, ours.with(theirs)),
		p.join(5, func(c *Config, d *Deps) { overTCP(t)(c, d); c.Secret = nil }), // no TLS at all
	}
	eventually(t, "peers meet", func() bool { return a.Reachable(2) && b.Reachable(1) })
	a.publish(shard0, 1, "x")
	eventually(t, "it comes", func() bool { return b.sink.said() == "[shard-0/1 x]" })
	for _, s := range strangers {
		eventually(t, "it tries", func() bool { return s.Stats().StreamsEnded >= 3 })
		s.publish(shard0, 2, "y")
		if a.Reachable(s.self.Node) || s.Reachable(1) || s.Reachable(2) {
			t.Errorf("node %d is let in", s.self.Node)
		}
	}
	if b.sink.said() != "[shard-0/1 x]" || a.sink.said() != "[]" {
		t.Error(a.sink.said(), b.sink.said())
	}
	if _, err := LoadTLS("", "key", "ca"); err == nil {
		t.Error("a half of the certificates is taken")
	}
}

// FuzzFrames decodes whatever a peer may send: it never panics.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1}, []byte{0})
	f.Add(hello{1, 1, "cluster", identity{2, 3}, "a:1", 4, newNonce()}.append(nil), []byte{0})
	f.Add(appendEntry(nil, entry{"", shard0, 3, payload(1, 1, "x")}), endFrame(beginFrame(nil, kindPing), 0, newSeal(nil)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		_, _ = readHello(a)
		_, _, _ = readWelcome(a)
		for _, s := range []*seal{nil, newSeal(nil)} {
			_, _, _ = readFrame(bufio.NewReader(bytes.NewReader(b)), helloBytesMax, s)
		}
		m := &Mesh{deps: Deps{Sink: &got{}}}
		_ = m.takeEntries(&stream{peer: identity{term: 1}}, a)
	})
}
