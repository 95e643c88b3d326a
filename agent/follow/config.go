package follow

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Config bounds a Mesh.
type Config struct {
	Secret []byte      // shared by all agents of the cluster; empty: none
	TLS    *tls.Config // for both ends, with a certificate and the CAs of the peers' ones; nil: plain TCP

	QueueBytesMax    int           // of one peer's entries that wait to be sent; beyond, they are dropped
	StreamsMax       int           // that peers have to this agent
	PingEvery        time.Duration // on each stream
	SilenceMax       time.Duration // a peer that answers no ping for longer is out of reach
	HandshakeTimeout time.Duration // of dialling and of the handshake
	WriteTimeout     time.Duration // of one frame
	RedialFirst      time.Duration // pause after a stream broke; it doubles up to RedialMax
	RedialMax        time.Duration
	RedialTermMax    time.Duration // RedialMax where the process is in another term: until that one's lease has run out
	PeersEvery       time.Duration // a look at who the peers are
	Clock            func() time.Time
	Log              *slog.Logger
}

// DefaultConfig has neither secret nor certificates: loopback only.
func DefaultConfig() Config {
	return Config{
		QueueBytesMax:    16 << 20,
		StreamsMax:       1024,
		PingEvery:        time.Second,
		SilenceMax:       3 * time.Second,
		HandshakeTimeout: 3 * time.Second,
		WriteTimeout:     5 * time.Second,
		RedialFirst:      50 * time.Millisecond,
		RedialMax:        2 * time.Second,
		RedialTermMax:    10 * time.Second,
		PeersEvery:       250 * time.Millisecond,
		Clock:            time.Now,
		Log:              slog.Default(),
	}
}

// secretBytesMin is the shortest secret; a shorter one can be guessed.
const secretBytesMin = 16

// Validate tells what is wrong with the configuration.
func (c Config) Validate() error {
	switch {
	case len(c.Secret) > 0 && len(c.Secret) < secretBytesMin:
		return fmt.Errorf("a cluster secret of %d bytes is too short; %d is the least", len(c.Secret), secretBytesMin)
	case c.QueueBytesMax < frameBytesMax || c.StreamsMax < 1:
		return fmt.Errorf("a queue of %d bytes or %d streams is too small", c.QueueBytesMax, c.StreamsMax)
	case c.PingEvery <= 0 || c.SilenceMax <= c.PingEvery || c.PeersEvery <= 0 || c.RedialFirst <= 0:
		return errors.New("a peer is out of reach after more than one ping")
	}
	return nil
}

// ErrUnprotected refuses an address that others could reach, without means to tell peers from others.
var ErrUnprotected = errors.New("needs a cluster secret or certificates: it is not a loopback address")

// CheckAddress refuses to talk with an address outside this machine without a secret or certificates.
func (c Config) CheckAddress(address string) error {
	if len(c.Secret) > 0 || c.TLS != nil {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the peer address %q is not host:port", address)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("the peer address %s %w", address, ErrUnprotected)
}
