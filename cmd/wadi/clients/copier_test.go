//go:build languages

package clients

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AlwaysRetryEOF())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if made, err := kadm.NewClient(client).CreateTopics(patient(t), copierPartitions, 1, nil, "original", "copy-4.2.0", "copy-2.8.2"); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	var copies []*copyReader
	for version, protocol := range map[string]string{"4.2.0": "consumer", "2.8.2": "classic"} {
		for i := range 2 {
			victims = append(victims, startCopier(t, version, address, "original", "copy-"+version, "group-"+version, fmt.Sprintf("copier-%s-%d", version, i), protocol))
		}
		copies = append(copies, readCopy(t, address, "copy-"+version))
	}

	ctx, cancel := context.WithTimeout(t.Context(), *copierFor)
	defer cancel()
	var n int64 // records in each partition
	var producing sync.WaitGroup
	produce := func() {
		for p := range int32(copierPartitions) {
			client.Produce(t.Context(), &kgo.Record{Topic: "original", Partition: p, Value: strconv.AppendInt(nil, n, 10)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		n++
	}
	producing.Go(func() {
		for tick := time.NewTicker(copierPace); ctx.Err() == nil; <-tick.C {
			for range copierBurst {
				produce()
			}
		}
	})
	kills, err := fleet.Trouble(ctx, random, copierEvery, victims...)
	if err != nil {
		t.Fatal(err)
	}
	producing.Wait()
	for _, c := range copies {
		c.await(n)
	}
	produce() // Behind whatever was copied twice.
	for _, c := range copies {
		c.await(n)
		again := readCopy(t, address, c.topic)
		again.await(n)
		ends, err := kadm.NewClient(client).ListEndOffsets(patient(t), c.topic)
		if err != nil || ends.Error() != nil {
			t.Fatal(err, ends.Error())
		}
		var more int64
		ends.Each(func(end kadm.ListedOffset) { more += end.Offset - n })
		t.Logf("%s: %d records in each partition, and %d markers and aborted records", c.topic, n, more)
	}
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
