package metastore

import "time"

// Serve says which journals this agent serves: they are followed closely. The
// catalog always is. Before the first call all are served. The function is called
// often, from any goroutine, and may change its mind.
func (f *Follower) Serve(serves func(JournalID) bool) { f.served.Store(&serves) }

// Serves tells whether the agent serves a journal.
func (f *Follower) Serves(id JournalID) bool {
	serves := f.served.Load()
	return serves == nil || id == CatalogJournal || (*serves)(id)
}

// Closely returns the journals that are followed closely, ascending: those served,
// and those that were served or asked about less than AskedFor ago.
func (f *Follower) Closely() []JournalID {
	ids := make([]JournalID, 0, len(f.order))
	for _, id := range f.order {
		if f.close(f.replicas[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Followed returns the replicas of the journals that are followed closely, in order.
func (f *Follower) Followed() []*Replica {
	ids := f.Closely()
	rs := make([]*Replica, len(ids))
	for i, id := range ids {
		rs[i] = f.replicas[id]
	}
	return rs
}

// Served returns the replicas of the journals that this agent serves, in order.
func (f *Follower) Served() []*Replica {
	var rs []*Replica
	for _, id := range f.order {
		if f.Serves(id) {
			rs = append(rs, f.replicas[id])
		}
	}
	return rs
}

// ask notes that a journal was asked about.
func (f *Follower) ask(r *Replica) { r.asked.Store(f.cfg.Clock().UnixNano()) }

func (f *Follower) close(r *Replica) bool {
	return f.Serves(r.id) || f.cfg.Clock().UnixNano()-r.asked.Load() < int64(f.cfg.AskedFor)
}

// unload empties the replicas that are not followed closely any more. What is
// served now counts as asked about, so that a move of shards forgets nothing at once.
func (f *Follower) unload() {
	for _, id := range f.order {
		r := f.replicas[id]
		switch {
		case f.Serves(id):
			f.ask(r)
		case !f.close(r) && r.unload(f.cfg.Clock()):
			f.cfg.Log.Debug("a journal isn't followed any more", "journal", id)
		}
	}
}

// unload empties the replica, and tells whether it did: there is something in it,
// and no append of this agent waits for what it comes to.
func (r *Replica) unload(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.err != nil || r.mu.own != nil || r.mu.freshAt.IsZero() && r.mu.fold.version == 0 {
		return false
	}
	seen := max(r.mu.seen, r.mu.fold.version)
	if err := r.mu.fold.reset(r.empty); err != nil {
		r.stopLocked(err)
		return false
	}
	r.mu.seen, r.mu.freshAt = seen, time.Time{}
	r.mu.held, r.mu.sums, r.mu.since = held{}, sums{}, Since{At: at}
	r.wakeLocked()
	return true
}

// forgotten is the version that the replica had when it was emptied last.
func (r *Replica) forgotten() Version {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.seen
}
