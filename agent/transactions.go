package agent

import (
	"time"

	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
)

// newTransactions makes the coordinator of transactional ids of a term.
func (a *Agent) newTransactions(p *process, w *metastore.Writer) (*transaction.Coordinator, error) {
	ms := func(name string) time.Duration { return time.Duration(a.settings.Int64(name)) * time.Millisecond }
	cfg := transaction.DefaultConfig(p.store.Cluster())
	cfg.TimeoutMax = ms("transaction.max.timeout.ms")
	cfg.AbortEvery = ms("transaction.abort.timed.out.transaction.cleanup.interval.ms")
	cfg.ExpireEvery = ms("transaction.remove.expired.transaction.cleanup.interval.ms")
	cfg.Expiration = ms("transactional.id.expiration.ms")
	if a.cfg.Given.EndsAlone {
		cfg.EndBytesMax = 0
	}
	return transaction.New(cfg, transaction.Deps{
		Writer:   w,
		Follower: p.follower,
		Clock:    p.clock.now,
		Log:      a.cfg.Log,
		Owns: func(journal int) bool {
			v := p.members.View()
			return len(v.Named()) == 0 || v.Coordinates(metastore.TransactionsJournal(journal))
		},
	})
}
