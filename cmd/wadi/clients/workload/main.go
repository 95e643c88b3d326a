package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// settings are what the flags say.
type settings struct {
	client     string
	bootstrap  []string
	name       string // begins the names of the clients
	topics     string // begins the names of the topics
	partitions int
	producers  int
	readers    int
	group      string // "": read by assign
	idempotent bool
	// transactional producers send in transactions, readers read what is committed.
	transactional bool
	copiers       int    // how many copy, as members of the group; then readers read by assign
	rate          int    // sends a second of each producer
	debug         string // contexts of librdkafka that are logged
	seed          uint64
	since         time.Time
	renewal       time.Duration // how long a topic is sent to before a new one takes its place
}

// library is one client library.
type library interface {
	// create makes a topic if there is none yet.
	create(ctx context.Context, topic string) error
	// produce sends until ctx ends or something failed; it returns when the outcome of all it sent is known or given up.
	produce(ctx context.Context, process string) error
	// transact sends in transactions of an id until ctx ends or something failed.
	transact(ctx context.Context, process, id string) error
	// assign reads keys from places until ctx ends, and moves the places on.
	assign(ctx context.Context, process string, places map[key]int64) error
	// subscribe reads as a member of the group until ctx ends.
	subscribe(ctx context.Context, process string) error
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run() error {
	var s settings
	var bootstrap, history string
	var since int64
	flag.StringVar(&s.client, "client", "franz-go", "franz-go or librdkafka")
	flag.StringVar(&bootstrap, "bootstrap", "127.0.0.1:9092", "HOST:PORT,…")
	flag.StringVar(&history, "history", "", "append to this FILE, which has a header")
	flag.StringVar(&s.name, "name", "w", "begin the names of clients with it")
	flag.StringVar(&s.topics, "topics", "chaos", "begin the names of topics with it")
	flag.IntVar(&s.partitions, "partitions", 4, "of a topic")
	flag.IntVar(&s.producers, "producers", 1, "how many send")
	flag.IntVar(&s.readers, "readers", 1, "how many read")
	flag.StringVar(&s.group, "group", "", "read as members of this group (default: by assign)")
	flag.BoolVar(&s.idempotent, "idempotent", true, "producers are idempotent; else acks=all alone")
	flag.BoolVar(&s.transactional, "transactional", false, "producers send in transactions, readers read what is committed")
	flag.IntVar(&s.copiers, "copiers", 0, "how many members of the group copy each topic, in transactions (franz-go only)")
	flag.IntVar(&s.rate, "rate", 20, "sends a second of each producer")
	flag.StringVar(&s.debug, "debug", "", "let librdkafka log these contexts (cgrp,topic,fetch,…)")
	flag.Uint64Var(&s.seed, "seed", 1, "of the choices")
	flag.Int64Var(&since, "since", 0, "when the run began, ns since 1970")
	flag.DurationVar(&s.renewal, "renewal", 20*time.Second, "how long a topic is sent to before a new one takes its place")
	flag.Parse()
	s.bootstrap, s.since = strings.Split(bootstrap, ","), time.Unix(0, since)
	file, err := os.OpenFile(history, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	r := newRecorder(file, s.since)
	var lib library
	switch s.client {
	case "franz-go":
		lib = &franz{settings: s, recorder: r}
	case "librdkafka":
		lib = &librdkafka{settings: s, recorder: r}
	default:
		return fmt.Errorf("the client %q is neither franz-go nor librdkafka", s.client)
	}
	w := &workload{settings: s, library: lib, recorder: r}
	if _, can := lib.(copier); s.copiers > 0 && (!can || s.group == "") {
		return errors.New("copiers are of franz-go, and of a group")
	}
	return w.run()
}

// workload is the clients of one process.
type workload struct {
	settings
	library  library
	recorder *recorder
}

func (w *workload) run() error {
	sending, quiet := context.WithCancel(context.Background())
	defer quiet()
	reading, end := context.WithCancel(context.Background())
	defer end()
	var producers, readers sync.WaitGroup
	producers.Go(func() { w.makeTopics(sending) })
	for i := range w.producers {
		if w.transactional {
			producers.Go(func() { w.transact(sending, i) })
		} else {
			producers.Go(func() { w.produce(sending, i) })
		}
	}
	for i := range w.copiers {
		readers.Go(func() { w.copy(reading, w.library.(copier), i) })
	}
	for i := range w.readers {
		readers.Go(func() { w.read(reading, i) })
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "quiet":
			quiet()
			producers.Wait()
			fmt.Println("quiet")
		case "end":
			end()
		}
	}
	quiet()
	end()
	producers.Wait()
	readers.Wait()
	if err := w.recorder.failed(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(w.recorder.summary())
}
