//go:build languages

package clients

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/wadi-io/wadi/cmd/wadi/clients/fleet"
)

var (
	copierFor  = flag.Duration("copier-for", 20*time.Second, "kill copiers and agents for `DURATION`")
	copierRuns = flag.Int("copier-runs", 1, "copy `N` times")
)

const (
	copierEvery = 3 * time.Second // about, between two kills
	copierPace  = 50 * time.Millisecond
	copierBurst = 10 // records, each pace
)

// Copiers of the Java client, two of either version of its transactions, and the agents are
// killed at random. What they have copied is what there was, each record once, in its order; so
// it is for whoever reads all along.
func TestLanguages_Copier(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range *copierRuns {
		t.Run("run", func(t *testing.T) { checkCopiers(t, random) })
	}
}

func checkCopiers(t *testing.T, random *rand.Rand) {
	agents := fleet.Start(t, filepath.Join("..", "..", ".."), os.Getenv(binaryVariable), groupConfigs()...)
	address := agents.Bootstrap()
	victims := agents.Victims()
	o := newOriginal(t, address, "copy-4.2.0", "copy-2.8.2")
	var copies []*copyReader
	for version, protocol := range map[string]string{"4.2.0": "consumer", "2.8.2": "classic"} {
		for i := range 2 {
			victims = append(victims, startCopier(t, version, address, "original", "copy-"+version, "group-"+version, fmt.Sprintf("copier-%s-%d", version, i), protocol))
		}
		copies = append(copies, readCopy(t, address, "copy-"+version))
	}

	kills := o.growWhile(*copierFor, copierPace, copierBurst, random, copierEvery, victims)
	o.compare(copies)
	t.Logf("killed: %v", kills)
}

// startCopier runs a copier, and tells how it is killed and started again.
func startCopier(t *testing.T, version, address, from, to, group, id, protocol string) fleet.Victim {
	t.Helper()
	var java []string
	for _, l := range languages(t) {
		if l.name == "java-"+version {
			java = append(java, l.command[:len(l.command)-1]...)
		}
	}
	var cmd *exec.Cmd
	log := &lockedBuffer{}
	begin := func() error {
		cmd = exec.Command(java[0], append(java[1:], "io.wadi.clients.Copier", address, from, to, group, id, protocol)...)
		cmd.Stderr = log
		return cmd.Start()
	}
	end := func() error {
		err := cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("%s: %v", id, err) // it had ended before
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", id, tail(log.String(), 6000))
		}
	})
	return fleet.Victim{Name: id, Kill: end, Start: begin}
}
