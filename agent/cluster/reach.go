package cluster

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"

	"github.com/wadi-io/wadi/metastore"
)

// reach finds out which agents can be reached from here.
type reach struct {
	cfg  Config
	deps Deps
	mu   sync.Mutex
	// of the agents tested last: connection tests in a row that came to nothing.
	silences map[metastore.Term]int
	refused  map[metastore.Term]bool
	errs     map[metastore.Term]error // why a test came to nothing
}

func newReach(cfg Config, deps Deps) *reach {
	return &reach{cfg: cfg, deps: deps, silences: map[metastore.Term]int{}, refused: map[metastore.Term]bool{}}
}

// test finds out about agents, all others are forgotten. It takes TestTimeout at most
// for each TestsMax of them.
func (r *reach) test(ctx context.Context, agents []metastore.TermInfo) {
	silences, refused, errs := map[metastore.Term]int{}, map[metastore.Term]bool{}, map[metastore.Term]error{}
	slots := make(chan struct{}, r.cfg.TestsMax)
	var testing sync.WaitGroup
	for i := range agents {
		info := &agents[i]
		slots <- struct{}{}
		testing.Go(func() {
			defer func() { <-slots }()
			err := r.connect(ctx, info)
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				errs[info.Term] = err
			}
			switch {
			case err == nil:
			case gone(err):
				refused[info.Term] = true
			default:
				silences[info.Term] = r.silences[info.Term] + 1
			}
		})
	}
	testing.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silences, r.refused, r.errs = silences, refused, errs
}

// why is why the last test of an agent came to nothing.
func (r *reach) why(term metastore.Term) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs[term]
}

// errStream stands for a stream that doesn't work.
var errStream = errors.New("the stream to it is broken")

// connect tells whether an agent can be reached.
func (r *reach) connect(ctx context.Context, info *metastore.TermInfo) error {
	if r.deps.Reachable != nil {
		if reachable, known := r.deps.Reachable(*info); known {
			if !reachable {
				return errStream
			}
			return nil
		}
	}
	address := info.Agent.Peer
	if address == "" {
		a := Agent{AgentInfo: info.Agent}
		address = a.address()
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.TestTimeout)
	defer cancel()
	conn, err := r.deps.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

// address is where clients reach an agent.
func (a *Agent) address() string {
	return net.JoinHostPort(a.KafkaHost, strconv.Itoa(int(a.KafkaPort)))
}

// gone tells whether an error says by itself that nobody is there; silence may be chance.
func gone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errStream)
}

// reachable tells what the last test has found.
func (r *reach) reachable(term metastore.Term) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.refused[term] && r.silences[term] < r.cfg.SilencesMax
}
