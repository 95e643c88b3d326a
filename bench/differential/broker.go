package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wadi-io/wadi/bench/apache"
)

// startPatience is how long a broker may take to serve.
const startPatience = time.Minute

// groupDelay makes the first rebalance of a group wait for nobody.
const groupDelay = "group.initial.rebalance.delay.ms=0"

// partitionsNumber is what topics get whose creation says nothing of it.
const partitionsNumber = "num.partitions=4"

// broker is a process that was started here and speaks Kafka.
type broker struct {
	name    string
	address string
	host    string
	port    int32
	cluster string // its id
	cmd     *exec.Cmd
	ended   chan struct{}
	log     *lockedBuffer
}

// lockedBuffer is a log that a process writes and others read.
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *lockedBuffer) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.mu.String()
	return text[max(0, len(text)-4000):]
}

// startReference starts Apache Kafka on an empty folder.
func startReference(ctx context.Context, jars, folder string) (*broker, error) {
	kafka, err := apache.FreePort()
	if err != nil {
		return nil, err
	}
	controller, err := apache.FreePort()
	if err != nil {
		return nil, err
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d", controller),
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", kafka, controller),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d", kafka),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=1",
		// As Wadi has them, so that what is compared is behaviour.
		partitionsNumber,
		groupDelay,
		"group.consumer.heartbeat.interval.ms=5000",
	}
	arguments, err := apache.Prepare(ctx, jars, folder, "differentialAAAAAAAAAA", lines)
	if err != nil {
		return nil, err
	}
	return startBroker(ctx, "Apache Kafka", kafka, folder, "java",
		append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}, arguments...)...)
}

// startWadi starts `wadi dev` on an empty folder.
func startWadi(ctx context.Context, binary, folder string) (*broker, error) {
	port, err := apache.FreePort()
	if err != nil {
		return nil, err
	}
	return startBroker(ctx, "Wadi", port, folder, binary, "dev", "--dir", filepath.Join(folder, "data"),
		"--kafka", fmt.Sprintf("127.0.0.1:%d", port), "--http", "", "--config", groupDelay, "--config", partitionsNumber)
}

// startBroker starts a process and waits until it answers.
func startBroker(ctx context.Context, name string, port int, folder, program string, args ...string) (*broker, error) {
	b := &broker{
		name: name, host: "127.0.0.1", port: int32(port), address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		cmd: exec.Command(program, args...), ended: make(chan struct{}), log: &lockedBuffer{},
	}
	b.cmd.Dir = folder
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(b.ended)
		b.cmd.Wait()
	}()
	if err := b.awaitReady(ctx); err != nil {
		b.stop()
		return nil, fmt.Errorf("%s: %w\n%s", name, err, b.log.tail())
	}
	return b, nil
}

// awaitReady waits until the broker answers Metadata with itself alone.
func (b *broker) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.ended:
			return errors.New("ended before it served")
		case <-tick.C:
		}
		c, err := dial(b.address)
		if err != nil {
			continue
		}
		request := metadataOf()
		request.SetVersion(12)
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		if err = c.send(request); err == nil {
			err = c.receive(response)
		}
		c.Close()
		if err == nil && len(response.Brokers) == 1 && response.ClusterID != nil {
			if response.Brokers[0].Port != b.port {
				return fmt.Errorf("another broker answers at %s", b.address)
			}
			b.cluster = *response.ClusterID
			return nil
		}
	}
	return fmt.Errorf("doesn't serve within %v", startPatience)
}

// stop ends the process and waits for it.
func (b *broker) stop() {
	b.cmd.Process.Kill()
	<-b.ended
}
