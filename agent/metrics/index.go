package metrics

// What replicas hold, and what transactions there are.

func shardsGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_partitions", "Partitions of the cluster, as this agent's replicas have them."),
		gauge("wadi_extents", "Extents in the replicas: what compaction has not merged yet."),
		gauge("wadi_producers", "Producers that partitions remember, counted in each."),
		gauge("wadi_unstable_records_max", "Records above the last stable offset, of the partition that has most: what readers of committed records wait for."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Shards == nil {
			return
		}
		v := s.Shards()
		emit("", float64(v.Partitions), float64(v.Extents), float64(v.Producers), float64(v.UnstableMax))
	}}
}

func transactionsGroup() group {
	ended := counter("wadi_transactions_ended_total", "Transactions that this agent has decided.", "outcome")
	return group{[]pulledMetric{
		ended.of("committed"), ended.of("aborted"), ended.of("timed_out"),
		gauge("wadi_transactional_ids", "Transactional ids that this agent coordinates."),
		gauge("wadi_transactions_ongoing", "Transactions of these ids that are not decided."),
		gauge("wadi_transactions_prepared", "Transactions of these ids that are decided, but whose markers are not all known to stand."),
		gauge("wadi_transaction_oldest_seconds", "Time since the oldest transaction of these ids that is not decided began."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Transactions == nil {
			return
		}
		if v := s.Transactions(); v != nil {
			emit("", float64(v.Committed), float64(v.Aborted), float64(v.TimedOut),
				float64(v.IDs), float64(v.Ongoing), float64(v.Prepared), v.OldestFor.Seconds())
		}
	}}
}
