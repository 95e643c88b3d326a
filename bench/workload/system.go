package workload

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wadi-io/wadi/agent/bucket/buckettest"
	"github.com/wadi-io/wadi/bench/cluster"
	"github.com/wadi-io/wadi/bench/fakes3"
	"github.com/wadi-io/wadi/bench/measure"
	"github.com/wadi-io/wadi/metastore/postgres/postgrestest"
)

// System is a broker that a row runs on, or the floor.
type System struct {
	Name     string
	Address  string
	PIDs     []int  // the broker's processes
	HTTP     string // the agent's metrics and profiles; "": none
	Replicas int    // of a topic; −1: the broker's own
	Hedged   bool   // slow PUTs are sent again
	Floor    bool   // there are no topics to be made

	Postgres int // pid of its first process; 0: none
	database *postgrestest.Server
	Bucket   *fakes3.Client // nil: none
	bucket   int            // the fake S3's pid
	agent    *cluster.Agent // nil: not Wadi's
	undo     []func()
}

// Close ends what was started for it.
func (s *System) Close() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
}

// child is a process of this very program: the bench as a floor, or as a fake S3.
type child struct {
	pid     int
	address string
	stop    func()
}

// startMax bounds the start of a process.
const startMax = time.Minute

// startChild starts this program as a server; its first line says where it listens.
func startChild(arguments ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, arguments...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", arguments, err)
	}
	stop := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), Listening)
	if err != nil || !ok {
		stop()
		return nil, fmt.Errorf("%v said %q: %w", arguments, line, err)
	}
	go io.Copy(io.Discard, out) // It ends with the process.
	return &child{cmd.Process.Pid, address, stop}, nil
}

// Listening begins the line by which a child tells its address.
const Listening = "listening "

// hedged is a Wadi agent that sends the bucket again what it hasn't taken after a time.
const hedged = "wadi-hedged"

// hedgeAfter is what four of five PUTs of the profile standard take less than: one in five may be sent again.
const hedgeAfter = 170 * time.Millisecond

// Options are of the systems that Start starts.
type Options struct {
	Wadi      string   // the wadi binary
	Folder    string   // for logs and data; it exists
	Jars      string   // Apache Kafka's
	KeepBytes int64    // of segments in the fake S3
	Arguments []string // more of the agent
}

// Start starts a system: floor, wadi, kafka or kafka3.
func Start(ctx context.Context, name string, o Options) (*System, error) {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	switch name {
	case "floor":
		return startFloor(o)
	case "wadi":
		return startWadi(ctx, o)
	case hedged:
		o.Arguments = append([]string{"--bucket-hedge-put", hedgeAfter.String()}, o.Arguments...)
		s, err := startWadi(ctx, o)
		if err != nil {
			return nil, err
		}
		s.Name, s.Hedged = hedged, true
		return s, nil
	case "kafka":
		return startKafka(ctx, name, 1, o)
	case "kafka3":
		return startKafka(ctx, name, 3, o)
	}
	return nil, fmt.Errorf("%q is none of the systems floor, wadi, %s, kafka, kafka3", name, hedged)
}

// Running is a broker that somebody else runs.
func Running(address string, pids []int) *System {
	return &System{Name: address, Address: address, PIDs: pids, Replicas: -1}
}

func (s *System) startBucket(o Options) error {
	b, err := startChild("fakes3", "-keep", fmt.Sprint(o.KeepBytes))
	if err != nil {
		return err
	}
	s.undo = append(s.undo, b.stop)
	s.Bucket, s.bucket = &fakes3.Client{Endpoint: "http://" + b.address}, b.pid
	return nil
}

func startFloor(o Options) (*System, error) {
	s := &System{Name: "floor", Floor: true}
	if err := s.startBucket(o); err != nil {
		return nil, err
	}
	f, err := startChild("floor", "-bucket", s.Bucket.Endpoint+"/floor")
	if err != nil {
		s.Close()
		return nil, err
	}
	s.undo = append(s.undo, f.stop)
	s.Address, s.PIDs = f.address, []int{f.pid}
	return s, nil
}

// startWadi starts one agent with what it stands on. It doesn't compact: that would read
// what the fake S3 has dropped; compaction has rows of its own.
func startWadi(ctx context.Context, o Options) (*System, error) {
	s := &System{Name: "wadi", Replicas: -1}
	if err := s.startBucket(o); err != nil {
		return nil, err
	}
	folder := filepath.Join(o.Folder, fmt.Sprintf("wadi-%d", len(o.Arguments)))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		s.Close()
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Config{
		Program: o.Wadi, Folder: folder, Agents: 1, Bucket: buckettest.S3URL("wadi", s.Bucket.Endpoint),
		Arguments: append([]string{"--roles", "ingest,fetch"}, o.Arguments...),
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	s.undo = append(s.undo, c.Close)
	a := c.Agents[0]
	if err = a.Start(); err == nil {
		err = a.AwaitReady(ctx)
	}
	if err == nil {
		s.database = c.Postgres.Primary()
		s.Postgres, err = s.database.PID()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.agent, s.Address, s.PIDs, s.HTTP = a, a.Kafka, []int{a.PID()}, a.HTTP
	return s, nil
}

// cpu is what a system has used so far: its broker, its Postgres, its bucket.
func (s *System) cpu() (broker, postgres, bucket time.Duration, err error) {
	for _, pid := range s.PIDs {
		c, err := measure.CPU(pid)
		if err != nil {
			return 0, 0, 0, err
		}
		broker += c
	}
	if s.Postgres != 0 {
		if postgres, err = measure.CPUTree(s.Postgres); err != nil {
			return 0, 0, 0, err
		}
	}
	if s.bucket != 0 {
		bucket, err = measure.CPU(s.bucket)
	}
	return broker, postgres, bucket, err
}
