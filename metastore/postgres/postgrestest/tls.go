package postgrestest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TLS gives the server a certificate for the host name localhost, and for nothing else,
// until the test ends. It returns the file of the CA that signed it, made for it alone, and
// that of one that signed nothing here.
func (s *Server) TLS(t testing.TB) (ca, another string) {
	t.Helper()
	ctx := context.Background() // also in Cleanup
	another, err := s.certify(t.TempDir())
	if err == nil {
		ca, err = s.certify(t.TempDir()) // in the place of the other's
	}
	if err == nil {
		err = s.Exec(ctx, "alter system set ssl_cert_file = 'wadi.crt'", "alter system set ssl_key_file = 'wadi.key'",
			"alter system set ssl = on", "select pg_reload_conf()")
	}
	if err != nil {
		t.Fatalf("a certificate for the tests' Postgres: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Exec(ctx, "alter system reset ssl", "alter system reset ssl_cert_file", "alter system reset ssl_key_file", "select pg_reload_conf()"); err != nil {
			t.Error(err)
		}
	})
	// The postmaster takes the change up when it comes to it.
	cfg, err := pgx.ParseConfig(s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var on bool
		err = conn.QueryRow(ctx, "select current_setting('ssl') = 'on'").Scan(&on)
		conn.Close(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if on {
			return ca, another
		}
	}
	t.Fatal("the tests' Postgres doesn't turn TLS on")
	return "", ""
}

// certify makes a CA and by it the server's certificate and key, which lie in its data folder.
func (s *Server) certify(dir string) (caFile string, err error) {
	sign := func(c, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) ([]byte, error) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		c.SerialNumber = big.NewInt(time.Now().UnixNano())
		der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "the tests' CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caPEM, err := sign(ca, ca, caKey, caKey)
	if err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	certificate, err := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}}, ca, key, caKey)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	for name, body := range map[string][]byte{"wadi.crt": certificate, "wadi.key": keyPEM} {
		path := filepath.Join(s.data(), name)
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return "", err
		}
		if err := s.account.own(path); err != nil {
			return "", fmt.Errorf("give %s to the server: %w", path, err)
		}
	}
	caFile = filepath.Join(dir, "ca.crt")
	return caFile, os.WriteFile(caFile, caPEM, 0o600)
}
