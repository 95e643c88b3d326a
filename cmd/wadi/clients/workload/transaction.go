package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// fate is how a transaction is to end.
type fate int

const (
	commits  fate = iota
	aborts        // as drawn, not for an error
	lingers       // commits after a while, in which readers of committed records wait
	deserted      // its producer goes away; the next one of that id ends it, or its time-out does
)

const (
	sendsOfTransactionMax = 6
	keysOfTransactionMax  = 3
	abortOneIn            = 10
	lingerOneIn           = 30
	desertOneIn           = 60
	lingerMax             = 1500 * time.Millisecond
	transactionMax        = 15 * time.Second // transaction.timeout.ms
	endMax                = 30 * time.Second // a commit or abort that isn't answered by then is given up
	copySuffix            = "-copy"          // of the topic that a topic's copies go to
)

// send is one record of a transaction.
type send struct {
	key    key
	value  string
	offset int64 // -1: not known
}

// errDeserted ends a producer in the middle of its transaction.
var errDeserted = errors.New("deserted, as drawn")

// draw chooses what a process's transaction sends, and how it ends.
func (s *settings) draw(random *rand.Rand, process string, id int) (sends []send, end fate) {
	keys := s.keysOf(topicsSent)
	random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	keys = keys[:1+random.IntN(min(len(keys), keysOfTransactionMax))]
	for n := range 1 + random.IntN(sendsOfTransactionMax) {
		sends = append(sends, send{keys[random.IntN(len(keys))], fmt.Sprintf("%s/%d.%d", process, id, n), -1})
	}
	switch {
	case random.IntN(abortOneIn) == 0:
		end = aborts
	case random.IntN(lingerOneIn) == 0:
		end = lingers
	case random.IntN(desertOneIn) == 0:
		end = deserted
	}
	return sends, end
}

// pace of transactions: as many sends a second as other producers have.
func (s *settings) pace() time.Duration {
	return time.Second * (1 + sendsOfTransactionMax) / 2 / time.Duration(s.rate)
}

// each has a process draw transactions at the pace and run them, until ctx ends or one fails: run sends
// what is to be sent, ends the transaction as drawn, and says what became of it.
func (s *settings) each(ctx context.Context, r *recorder, process string, begin func() error, run func(n int, sends []send, end fate) (outcome, error)) error {
	random := s.random(process)
	tick := time.NewTicker(s.pace())
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := begin(); err != nil {
			return err
		}
		sends, end := s.draw(random, process, n)
		r.begins(process, n, sends)
		result, err := run(n, sends, end)
		r.ended(process, n, result, nil, sends, err)
		if err != nil {
			return err
		}
	}
}

// transact runs one transactional producer after the other under the same id.
func (w *workload) transact(ctx context.Context, number int) {
	id := fmt.Sprintf("%s-p%d", w.name, number)
	for life := 0; ctx.Err() == nil; life++ {
		if err := w.library.transact(ctx, fmt.Sprintf("%s.%d", id, life), id); err != nil {
			if !errors.Is(err, errDeserted) {
				w.recorder.trouble("transact", err)
			}
			sleep(ctx, 200*time.Millisecond)
		}
	}
}

// copier is a library that can copy records with its place in them, in one transaction.
type copier interface {
	// copy copies until ctx ends or something failed, as a member of the group.
	copy(ctx context.Context, process, id string) error
}

// copy runs one copier after the other under the same id.
func (w *workload) copy(ctx context.Context, lib copier, number int) {
	id, random := fmt.Sprintf("%s-c%d", w.name, number), w.random(fmt.Sprint("copier ", number))
	for life := 0; ctx.Err() == nil; life++ {
		// The last one outlives its time, so that everything gets copied.
		lifetime, end := context.WithTimeout(ctx, memberLife/2+time.Duration(random.Int64N(int64(memberLife))))
		if err := lib.copy(lifetime, fmt.Sprintf("%s.%d", id, life), id); err != nil {
			w.recorder.trouble("copy", err)
			sleep(ctx, 200*time.Millisecond)
		}
		end()
	}
}
