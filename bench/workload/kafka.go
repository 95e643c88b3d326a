package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/bench/apache"
	"github.com/wadi-io/wadi/bench/load"
)

// kafkaHeap is what a node's heap is held to, from the start on.
const kafkaHeap = "1g"

// startKafka starts so many nodes of Apache Kafka, the first of which is the controller
// too and leads all partitions, so that the load goes to one address.
func startKafka(ctx context.Context, name string, nodes int, o Options) (*System, error) {
	if o.Jars == "" {
		return nil, errors.New("tell where Apache Kafka's jars are (-jars; make bench-kafka fetches them)")
	}
	s := &System{Name: name, Replicas: nodes}
	ports := make([]int, nodes+1)
	for i := range ports {
		var err error
		if ports[i], err = apache.FreePort(); err != nil {
			return nil, err
		}
	}
	for i := range nodes {
		if err := s.startNode(ctx, filepath.Join(o.Folder, fmt.Sprintf("%s-%d", name, i+1)), i, ports, nodes, o.Jars); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.Address = fmt.Sprintf("127.0.0.1:%d", ports[1])
	if err := awaitNodes(ctx, s.Address, nodes); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *System) startNode(ctx context.Context, folder string, i int, ports []int, nodes int, jars string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	listener := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", ports[1+i])
	roles, listeners := "broker", listener
	if i == 0 {
		roles, listeners = "broker,controller", listener+fmt.Sprintf(",CONTROLLER://127.0.0.1:%d", ports[0])
	}
	lines := []string{
		"process.roles=" + roles,
		fmt.Sprintf("node.id=%d", i+1),
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", ports[0]),
		"controller.listener.names=CONTROLLER",
		"listeners=" + listeners,
		"advertised.listeners=" + listener,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		fmt.Sprintf("offsets.topic.replication.factor=%d", nodes),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", nodes),
		"transaction.state.log.min.isr=1",
		fmt.Sprintf("min.insync.replicas=%d", (nodes+1)/2),
		"num.network.threads=2", "num.io.threads=4",
		// What a run leaves behind goes soon, so that the disk doesn't fill.
		"log.segment.bytes=134217728", "log.retention.bytes=134217728", "log.retention.check.interval.ms=2000", "log.segment.delete.delay.ms=500",
	}
	arguments, err := apache.Prepare(ctx, jars, folder, "benchAAAAAAAAAAAAAAAAA", lines)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(folder, "out.log"))
	if err != nil {
		return err
	}
	defer log.Close() // The process has it.
	cmd := exec.Command("java", append([]string{"-server", "-Xms" + kafkaHeap, "-Xmx" + kafkaHeap, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-Djava.awt.headless=true"}, arguments...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	s.undo = append(s.undo, func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.PIDs = append(s.PIDs, cmd.Process.Pid)
	return nil
}

// awaitNodes waits until all nodes are there.
func awaitNodes(ctx context.Context, address string, nodes int) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := load.Nodes(ctx, address)
		if err == nil && n == nodes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes are there: %w", n, nodes, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}
