package follow

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/wadi-io/wadi/metastore"
)

// magic opens a hello, so that another protocol's client is told from a peer.
const magic = "WADI peer"

// protocolVersion is the one that this release speaks. A later release that speaks
// more offers a range, and the acceptor takes the highest of both.
const protocolVersion = 1

const nonceBytes = 32

// refusal says why an acceptor takes no stream. On the wire; never renumber.
type refusal byte

const (
	refusedVersion refusal = 1
	refusedCluster refusal = 2
	refusedTerm    refusal = 3 // the process at this address is in another term
	refusedSecret  refusal = 4
	refusedBusy    refusal = 5
)

func (r refusal) Error() string {
	switch r {
	case refusedVersion:
		return "the peer speaks no version of this protocol that this release speaks"
	case refusedCluster:
		return "the peer belongs to another cluster"
	case refusedTerm:
		return "the peer's process is in another term"
	case refusedSecret:
		return "the peer has another cluster secret"
	case refusedBusy:
		return "the peer takes no more streams"
	}
	return fmt.Sprintf("the peer refused for reason %d", byte(r))
}

// identity is one end of a stream.
type identity struct {
	term metastore.Term
	node int32
}

// hello is what a dialler says.
type hello struct {
	versionMin, versionMax uint64
	cluster                string
	from                   identity
	address                string         // where from takes streams
	to                     metastore.Term // that is meant
	nonce                  []byte
}

func (h hello) append(dst []byte) []byte {
	dst = metastore.AppendBytes(dst, magic)
	dst = binary.AppendUvarint(dst, h.versionMin)
	dst = binary.AppendUvarint(dst, h.versionMax)
	dst = metastore.AppendBytes(dst, h.cluster)
	dst = binary.AppendUvarint(dst, uint64(h.from.term))
	dst = binary.AppendUvarint(dst, uint64(uint32(h.from.node)))
	dst = metastore.AppendBytes(dst, h.address)
	dst = binary.AppendUvarint(dst, uint64(h.to))
	return append(dst, h.nonce...)
}

func readHello(body []byte) (h hello, err error) {
	d := metastore.Decoder{Rest: body}
	if d.String() != magic {
		return h, errors.New("what dialled is no peer")
	}
	h.versionMin, h.versionMax = d.Uvarint(), d.Uvarint()
	h.cluster = d.String()
	h.from = identity{metastore.Term(d.Uvarint()), int32(uint32(d.Uvarint()))}
	h.address = d.String()
	h.to = metastore.Term(d.Uvarint())
	h.nonce = d.Fixed(nonceBytes) // What a later version says behind it is part of the transcript only.
	return h, d.Err
}

// welcome is what an acceptor answers, before its proof.
type welcome struct {
	version uint64
	from    identity
	nonce   []byte
}

func (w welcome) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, w.version)
	dst = binary.AppendUvarint(dst, uint64(w.from.term))
	dst = binary.AppendUvarint(dst, uint64(uint32(w.from.node)))
	return append(dst, w.nonce...)
}

func readWelcome(body []byte) (w welcome, proof []byte, err error) {
	d := metastore.Decoder{Rest: body}
	w.version = d.Uvarint()
	w.from = identity{metastore.Term(d.Uvarint()), int32(uint32(d.Uvarint()))}
	w.nonce = d.Fixed(nonceBytes)
	return w, d.Fixed(sha256.Size), d.Err
}

func newNonce() []byte {
	b := make([]byte, nonceBytes)
	rand.Read(b) // never fails
	return b
}

// derive makes a code or key for one purpose from the secret and both ends' words.
// The nonces among them make it another one for each stream.
func derive(secret []byte, purpose string, hello, welcome []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, part := range [][]byte{[]byte(purpose), hello, welcome} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		mac.Write(n[:])
		mac.Write(part)
	}
	return mac.Sum(nil)
}

const (
	purposeWelcome  = "acceptor's proof"
	purposeProof    = "dialler's proof"
	purposeToAccept = "dialler's frames"
	purposeToDial   = "acceptor's frames"
)

// stream is a connection after its handshake.
type stream struct {
	conn     net.Conn
	in       *bufio.Reader
	peer     identity
	address  string // where the peer takes streams; known to the acceptor
	origin   string // of the entries that come next
	out, inc *seal
}

func writeFrame(conn net.Conn, kind byte, body []byte) error {
	_, err := conn.Write(endFrame(append(beginFrame(nil, kind), body...), 0, nil))
	return err
}

// shake is the dialler's side. The caller has set a deadline.
func (m *Mesh) shake(conn net.Conn, to Peer) (*stream, error) {
	h := hello{protocolVersion, protocolVersion, m.deps.Cluster, identity{m.deps.Self.Term, m.deps.Self.Node}, m.deps.Self.Addr, to.Term, newNonce()}
	said := h.append(nil)
	if err := writeFrame(conn, kindHello, said); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 4<<10)
	kind, body, err := readFrame(in, helloBytesMax, nil)
	switch {
	case err != nil:
		return nil, err
	case kind == kindRefused && len(body) > 0:
		return nil, refusal(body[0])
	case kind != kindWelcome:
		return nil, fmt.Errorf("frame of kind %d in the handshake", kind)
	}
	w, proof, err := readWelcome(body)
	if err != nil {
		return nil, err
	}
	answered := w.append(nil)
	switch {
	case w.version != protocolVersion:
		return nil, refusedVersion
	case !hmac.Equal(proof, derive(m.cfg.Secret, purposeWelcome, said, answered)):
		return nil, refusedSecret
	case w.from != identity{to.Term, to.Node}:
		return nil, refusedTerm
	}
	if err := writeFrame(conn, kindProof, derive(m.cfg.Secret, purposeProof, said, answered)); err != nil {
		return nil, err
	}
	return &stream{conn: conn, in: in, peer: w.from,
		out: newSeal(derive(m.cfg.Secret, purposeToAccept, said, answered)),
		inc: newSeal(derive(m.cfg.Secret, purposeToDial, said, answered))}, nil
}

// answer is the acceptor's side; from is who dialled, as far as that is known. The caller
// has set a deadline.
func (m *Mesh) answer(conn net.Conn) (st *stream, from string, err error) {
	from = conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	kind, said, err := readFrame(in, helloBytesMax, nil)
	if err != nil {
		return nil, from, err
	}
	if kind != kindHello {
		return nil, from, fmt.Errorf("frame of kind %d in the handshake", kind)
	}
	h, err := readHello(said)
	if err != nil {
		return nil, from, err
	}
	if h.address != "" {
		from = h.address
	}
	switch {
	case h.versionMin > protocolVersion || h.versionMax < protocolVersion:
		err = refusedVersion
	case h.cluster != m.deps.Cluster:
		err = refusedCluster
	case h.to != m.deps.Self.Term || h.from.term == m.deps.Self.Term:
		err = refusedTerm
	}
	if err != nil {
		return nil, from, m.refuse(conn, err.(refusal))
	}
	answered := welcome{protocolVersion, identity{m.deps.Self.Term, m.deps.Self.Node}, newNonce()}.append(nil)
	if err := writeFrame(conn, kindWelcome, append(answered[:len(answered):len(answered)], derive(m.cfg.Secret, purposeWelcome, said, answered)...)); err != nil {
		return nil, from, err
	}
	kind, proof, err := readFrame(in, helloBytesMax, nil)
	switch {
	case err != nil:
		return nil, from, err
	case kind != kindProof || !hmac.Equal(proof, derive(m.cfg.Secret, purposeProof, said, answered)):
		return nil, from, m.refuse(conn, refusedSecret)
	}
	return &stream{conn: conn, in: in, peer: h.from, address: h.address,
		out: newSeal(derive(m.cfg.Secret, purposeToDial, said, answered)),
		inc: newSeal(derive(m.cfg.Secret, purposeToAccept, said, answered))}, from, nil
}

// refuse tells the dialler why, as well as it can.
func (m *Mesh) refuse(conn net.Conn, why refusal) error {
	_ = writeFrame(conn, kindRefused, []byte{byte(why)}) // It learns nothing either way; the stream is closed.
	return why
}
