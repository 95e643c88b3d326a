package clients

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "repeat the kill loop's choices; 0: draw a seed")

const (
	killsUnderLoad    = 50               // kills of an agent that had acknowledged records
	killsUnderLoadMin = 5                // of these, on a machine that has much to do
	killLoopMax       = 75 * time.Second // for more than these

	lifeMax      = 500 * time.Millisecond // after its first acknowledgement
	earlyOneIn   = 6                      // agents that are killed while they start or soon after
	earlyLifeMax = 60 * time.Millisecond
)

// An agent that is killed again and again loses nothing that it acknowledged and
// keeps nothing twice, and readers follow it over every restart.
func TestKillLoop(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, address := t.TempDir(), freeAddress(t)
	p, _ := startDev(t, dir, address)
	l := newLoad(t, address, "kept", 4)
	franz{}.create(t, address, l.topic, int(l.partitions), nil)
	l.writeFranz(0)
	l.writeFranz(1)
	l.writeLibrdkafka(2)
	streams := map[string]*follower{"franz-go": l.readFranz(), "librdkafka": l.readLibrdkafka()}

	began, kills, loaded := time.Now(), 0, 0
	for ; loaded < killsUnderLoadMin || loaded < killsUnderLoad && time.Since(began) < killLoopMax; kills++ {
		before, life := l.ledger.acknowledged(), lifeMax
		if kills > 0 && random.IntN(earlyOneIn) == 0 {
			life = earlyLifeMax
		} else {
			eventually(t, "records are acknowledged", func() bool { l.check(); return l.ledger.acknowledged() > before })
		}
		<-time.After(time.Duration(random.Int64N(int64(life)))) // the kill's moment is the test's input
		p.kill()
		if l.ledger.acknowledged() > before {
			loaded++
		}
		p = start(t, "dev", "--dir", dir, "--kafka", address, "--http", "")
	}
	p.awaitReady()
	t.Logf("seed %d: %d kills, %d of them under load, %d records acknowledged, in %v", seed, kills, loaded, l.ledger.acknowledged(), time.Since(began).Round(time.Millisecond))
	l.finish(streams)
}
