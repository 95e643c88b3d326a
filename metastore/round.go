package metastore

import "context"

// round is a read that has not begun.
type round struct {
	journals map[JournalID]bool
	done     chan struct{}
	err      error // set before done is closed
}

// Refresh returns once the replicas of the journals hold all that had been
// appended when it was called. A stopped journal's error is returned.
func (f *Follower) Refresh(ctx context.Context, journals ...JournalID) error {
	if len(journals) == 0 {
		return nil
	}
	r := f.begin(journals...)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
	}
	if r.err != nil {
		return r.err
	}
	for _, id := range journals {
		if err := f.replicas[id].Err(); err != nil {
			return err
		}
	}
	return nil
}

// begin has the journals read as Refresh does, without waiting. What is missing under an entry is
// awaited meanwhile, as if it had been pushed.
func (f *Follower) begin(journals ...JournalID) *round {
	f.mu.Lock()
	r := f.mu.next
	if r == nil {
		r = &round{journals: map[JournalID]bool{}, done: make(chan struct{})}
		f.mu.next = r
	}
	for _, id := range journals {
		if !r.journals[id] {
			r.journals[id] = true
			f.mu.reading[id]++
		}
	}
	f.mu.Unlock()
	select {
	case f.kick <- struct{}{}:
	default:
	}
	return r
}

// end tells who waits for a round.
func (f *Follower) end(r *round, err error) {
	f.mu.Lock()
	for id := range r.journals {
		if f.mu.reading[id]--; f.mu.reading[id] == 0 {
			delete(f.mu.reading, id)
		}
	}
	f.mu.Unlock()
	r.err = err
	close(r.done)
}

// reading tells whether a read of the journal was asked for and has not ended.
func (f *Follower) reading(id JournalID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.reading[id] > 0
}
