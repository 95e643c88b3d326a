package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// handleRequests takes the requests in the order they were read, until there are no more.
func (c *Conn) handleRequests() {
	var answering chan struct{}
	for r := range c.queue {
		if !c.startable(r) {
			c.finish(r)
			continue
		}
		if err := c.handle(r); err != nil {
			c.answered.Wait()
			c.fail(r.ClientID, err)
			c.finish(r)
		}
		if c.pending != nil && answering == nil {
			answering = make(chan struct{})
			go func() {
				defer close(answering)
				c.answerPending()
			}()
		}
	}
	if answering != nil {
		close(c.pending)
		<-answering
	}
	if c.refused != nil {
		c.fail(c.clientID, c.refused)
	}
}

// startable says whether a request that was read is still to be started. The
// client's leaving stops only those whose answer is all that matters.
func (c *Conn) startable(r *Request) bool {
	if c.closed.Load() || c.draining.Err() != nil {
		return false
	}
	return c.gone.Err() == nil || r.key() == KeyProduce
}

func (r *Request) key() int16 {
	h, _, err := parseHeader(r.Frame.Bytes())
	if err != nil {
		return -1
	}
	return h.key
}

// handle starts an overlapping request, or answers another one. An error means
// that the connection must be closed and that r is not finished.
func (c *Conn) handle(r *Request) error {
	p, err := c.parse(r)
	if errors.Is(err, errUnknownAPIVersions) {
		c.answered.Wait()
		c.answer(r, Answer{Message: unknownAPIVersions(r.route.Route)})
		return nil
	}
	if err != nil {
		return err
	}
	if r.route.Start == nil {
		c.answered.Wait()
		if !c.startable(r) {
			c.finish(r)
			return nil
		}
	}
	counted, err := p.check(r.body)
	if err != nil {
		return err
	}
	if err := c.chargeDecoded(r, counted); err != nil {
		return err
	}
	if err := r.decode(p, counted); err != nil {
		return err
	}
	if r.route.Start == nil {
		c.noteSoftware(r)
		c.answer(r, survive(func() Answer { return r.route.Handle(c.gone, r) }))
		return nil
	}
	if a := survive(func() (a Answer) { r.pending = r.route.Start(c.cutOff, r); return a }); a.Close != nil {
		return a.Close
	}
	c.releaseFrame(r)
	if c.pending == nil {
		c.pending = make(chan *Request, cap(c.slots))
	}
	c.answered.Add(1)
	c.pending <- r // never full: slots bound it
	return nil
}

// survive calls f. A panic is a bug that one request has met: it costs its
// connection, not the others'.
func survive(f func() Answer) (a Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = Answer{Close: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return f()
}

var errUnknownAPIVersions = errors.New("unknown version of ApiVersions")

// parse reads the header and finds the route.
func (c *Conn) parse(r *Request) (*program, error) {
	h, rest, err := parseHeader(r.Frame.Bytes())
	if err != nil {
		return nil, err
	}
	r.Key, r.Version, r.CorrelationID = h.key, h.version, h.correlationID
	r.route = c.server.routes[h.key]
	if r.route == nil {
		return nil, fmt.Errorf("request %d version %d is not supported", h.key, h.version)
	}
	p := r.route.program(h.version)
	if p == nil {
		if h.key == KeyAPIVersions {
			return nil, errUnknownAPIVersions
		}
		return nil, fmt.Errorf("%s version %d is not supported", kmsg.NameForKey(h.key), h.version)
	}
	clientID, body, err := parseClientID(rest, p.flexible)
	if err != nil {
		return nil, err
	}
	if p.key != KeyProduce && len(body) > c.server.limits.BodyBytesMax {
		return nil, fmt.Errorf("%s version %d: %d bytes: %w", p.name, p.version, len(body), errBodySize)
	}
	r.body, r.flexible, r.ClientID = body, p.flexible, c.internClientID(clientID)
	return p, nil
}

// internClientID makes a string of id, mostly the same one again.
func (c *Conn) internClientID(id []byte) string {
	if string(id) == c.clientID {
		return c.clientID
	}
	s := string(id)
	if len(s) <= clientNameBytesMax {
		c.clientID = s
	}
	return s
}

// chargeDecoded waits until there is room for a large message.
func (c *Conn) chargeDecoded(r *Request, counted cost) error {
	const uncountedBytes = 64 << 10
	n := counted.decodedBytes(len(r.body), r.Key)
	if n <= uncountedBytes {
		return nil
	}
	n = min(n, c.server.limits.ServerBytesDecodedMax)
	if err := c.server.decoded.Acquire(c.cutOff, n); err != nil {
		return err
	}
	r.decoded = n
	return nil
}

func (c *Conn) noteSoftware(r *Request) {
	m, ok := r.Message.(*kmsg.ApiVersionsRequest)
	if !ok {
		return
	}
	c.mu.Lock()
	c.mu.softwareName = cut(m.ClientSoftwareName)
	c.mu.softwareVersion = cut(m.ClientSoftwareVersion)
	c.mu.Unlock()
}

func cut(s string) string {
	if len(s) > clientNameBytesMax {
		return string([]byte(s[:clientNameBytesMax]))
	}
	return s
}

// unknownAPIVersions tells a client which versions of ApiVersions it may use (KIP-511).
func unknownAPIVersions(r Route) *kmsg.ApiVersionsResponse {
	m := kmsg.NewPtrApiVersionsResponse()
	m.ErrorCode = CodeUnsupportedVersion
	m.ApiKeys = APIs([]Route{r})
	return m
}

// answer writes a and is done with r.
func (c *Conn) answer(r *Request, a Answer) {
	written := 0
	switch {
	case c.isGone():
	case a.Close != nil:
		c.failAnswer(r, a.Close)
	case !a.None:
		var err error
		if written, err = c.write(r, a); err != nil {
			c.failWrite(r, err)
		}
	}
	c.conclude(r, a.Release, written)
}

// isGone tells whether nobody is left to be answered.
func (c *Conn) isGone() bool { return c.closed.Load() || c.gone.Err() != nil }

func (c *Conn) failAnswer(r *Request, err error) {
	c.fail(r.ClientID, fmt.Errorf("%s version %d: %w", kmsg.NameForKey(r.Key), r.Version, err))
}

func (c *Conn) failWrite(r *Request, err error) {
	c.fail(r.ClientID, fmt.Errorf("writing an answer: %w", err))
}

// conclude is done with r, whose answer of so many bytes has been written, or was given up.
func (c *Conn) conclude(r *Request, release func(), written int) {
	if release != nil {
		release()
	}
	if o := c.server.cfg.Observer; o != nil {
		o.Answered(r.Key, r.Version, r.frameBytes, written, sinceRead(r))
	}
	c.finish(r)
}

// finish gives back all that r holds.
func (c *Conn) finish(r *Request) {
	c.releaseMessage(r)
	c.releaseFrame(r)
	c.lastAnswered.Store(time.Now().UnixNano())
	c.dismiss(r)
}

// releaseFrame gives up the request's own hold on its frame.
func (c *Conn) releaseFrame(r *Request) {
	if r.Frame != nil {
		r.Frame.Release()
		r.Frame = nil
	}
}

// releaseMessage gives back the decoded message. It comes before the answer is
// written: a client that reads slowly mustn't keep others from having theirs decoded.
func (c *Conn) releaseMessage(r *Request) {
	r.Message = nil
	if r.decoded > 0 {
		c.server.decoded.Release(r.decoded)
		r.decoded = 0
	}
	if r.produce != nil {
		r.produce.release()
	}
	r.produce = nil
}

// fail closes the connection for a reason worth telling.
func (c *Conn) fail(clientID string, err error) {
	if c.closed.Load() {
		return
	}
	if !errors.Is(err, context.Canceled) {
		c.server.log.Info("connection closed", "client", c.RemoteAddr().String(), "client_id", clientID, "error", err)
	}
	c.close()
}
