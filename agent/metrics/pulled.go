package metrics

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wadi-io/wadi/agent/cache"
	"github.com/wadi-io/wadi/agent/fetch"
	"github.com/wadi-io/wadi/agent/follow"
	"github.com/wadi-io/wadi/agent/ingest"
	"github.com/wadi-io/wadi/agent/transaction"
	"github.com/wadi-io/wadi/metastore"
	"github.com/wadi-io/wadi/metastore/shard"
	"github.com/wadi-io/wadi/wire"
)

// Sources are the parts that are asked at each scrape. Any may be nil, and one
// that belongs to a term may answer nil: then it is left out. Counts begin at 0
// again with a new term, as Prometheus expects of a restart.
type Sources struct {
	Server          func() *wire.Stats
	Ingest          func() *ingest.Stats
	AppendsRepeated func() *int64 // metastore.Writer's
	Fetch           func() fetch.Stats
	Cache           func() cache.Stats
	CacheDisk       func() cache.DiskStats
	BuffersIdle     func() int64 // bytes
	Statements      func() metastore.Statements
	Replicas        func() []*metastore.Replica
	Pushed          func() metastore.PushStats // what other agents pushed
	Peers           func() *follow.Stats
	Compaction      func() *Compaction
	Agents          func() Agents
	Shards          func() shard.Counts // of all replicas together
	Transactions    func() *transaction.Stats
	Clock           func() time.Time // that Replica.FreshAt is told by; needed for Replicas
}

// pulled collects from the sources.
type pulled struct {
	sources atomic.Pointer[Sources]
	groups  []group
}

// group is the metrics that one source answers.
type group struct {
	metrics []pulledMetric
	// values returns a value for each of the metrics, for each set of the label's
	// value (empty: the metrics have no label); nothing if the source isn't there.
	values func(s *Sources, emit func(label string, values ...float64))
}

type pulledMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	fixed []string // values of constant labels
}

func counter(name, help string, labels ...string) pulledMetric {
	return pulledMetric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, nil}
}

func gauge(name, help string, labels ...string) pulledMetric {
	return pulledMetric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, nil}
}

// of is one series of a metric whose label values are fixed.
func (m pulledMetric) of(values ...string) pulledMetric {
	m.fixed = values
	return m
}

func newPulled() *pulled {
	p := &pulled{groups: []group{
		serverGroup(), ingestGroup(), writerGroup(), fetchGroup(), cacheGroup(), cacheDiskGroup(), buffersGroup(), statementsGroup(), replicasGroup(), lostTailsGroup(),
		pushedGroup(), peersGroup(), compactionGroup(), agentsGroup(), shardsGroup(), transactionsGroup(),
	}}
	p.sources.Store(&Sources{})
	return p
}

// Describe is a prometheus.Collector's.
func (p *pulled) Describe(descs chan<- *prometheus.Desc) {
	told := map[*prometheus.Desc]bool{}
	for _, g := range p.groups {
		for _, m := range g.metrics {
			if !told[m.desc] {
				told[m.desc] = true
				descs <- m.desc
			}
		}
	}
}

// Collect is a prometheus.Collector's.
func (p *pulled) Collect(metrics chan<- prometheus.Metric) {
	s := p.sources.Load()
	for _, g := range p.groups {
		g.values(s, func(label string, values ...float64) {
			for i, m := range g.metrics {
				labels := m.fixed
				if label != "" {
					labels = []string{label}
				}
				metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, values[i], labels...)
			}
		})
	}
}

func serverGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_connections", "Kafka connections that are open."),
		gauge("wadi_requests_in_flight", "Requests that were read and not yet answered."),
		gauge("wadi_request_bytes_in_flight", "Bytes of the frames of requests that were read and not yet answered."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Server == nil {
			return
		}
		if v := s.Server(); v != nil {
			emit("", float64(v.Connections), float64(v.RequestsInFlight), float64(v.BytesInFlight))
		}
	}}
}

func ingestGroup() group {
	flushes := counter("wadi_flushes_total", "Flushes begun, by what began them: size, linger, or an upload slot that was free at once.", "reason")
	return group{[]pulledMetric{
		flushes.of("size"), flushes.of("linger"), flushes.of("at_once"),
		counter("wadi_segments_total", "Segments that were uploaded."),
		counter("wadi_segment_bytes_total", "Bytes of segments that were uploaded."),
		counter("wadi_uploads_failed_total", "Segments that could not be uploaded."),
		counter("wadi_batches_total", "Batches that stand in the log."),
		counter("wadi_records_total", "Records of the batches that stand in the log."),
		counter("wadi_appends_total", "Appends to the metastore's journals."),
		counter("wadi_void_batches_total", "Batches whose guard failed in the fold, and that were decided again."),
		counter("wadi_held_batches_total", "Batches that were held because their predecessor was missing."),
		counter("wadi_fences_total", "Fences appended, each before a definite error."),
		counter("wadi_duplicate_batches_total", "Batches that were in the log already."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Ingest == nil {
			return
		}
		if v := s.Ingest(); v != nil {
			emit("", float64(v.FlushesBySize.Load()), float64(v.FlushesByLinger.Load()), float64(v.FlushesAtOnce.Load()),
				float64(v.Segments.Load()), float64(v.SegmentBytes.Load()), float64(v.UploadsFailed.Load()), float64(v.Batches.Load()), float64(v.Records.Load()),
				float64(v.Appends.Load()), float64(v.Voids.Load()), float64(v.Held.Load()), float64(v.Fences.Load()), float64(v.Duplicates.Load()))
		}
	}}
}

func writerGroup() group {
	return group{[]pulledMetric{
		counter("wadi_appends_repeated_total", "Appends sent again because their outcome was unknown."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.AppendsRepeated == nil {
			return
		}
		if v := s.AppendsRepeated(); v != nil {
			emit("", float64(*v))
		}
	}}
}

func fetchGroup() group {
	return group{[]pulledMetric{
		counter("wadi_fetches_total", "Fetch requests."),
		counter("wadi_fetched_bytes_total", "Bytes of records that fetches were answered with."),
		counter("wadi_fetch_waits_total", "Fetches that waited for bytes."),
		counter("wadi_fetch_refreshes_total", "Refreshes of replicas that fetches asked for."),
		counter("wadi_fetch_corrupt_loads_total", "Loads whose bytes did not match their checksum."),
		counter("wadi_fetch_missing_segments_total", "Extents whose segment was not in the bucket."),
		counter("wadi_fetch_read_ahead_total", "Extents asked for ahead of readers that catch up."),
		counter("wadi_fetch_table_reads_total", "Statements that asked where merged offsets lie."),
		gauge("wadi_fetch_partitions_watched", "Partitions that fetches wait for."),
		gauge("wadi_fetch_sessions", "Fetch sessions remembered."),
		gauge("wadi_fetch_session_partitions", "Partitions in the fetch sessions remembered."),
		counter("wadi_fetch_sessions_evicted_total", "Fetch sessions forgotten to make room."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Fetch == nil {
			return
		}
		v := s.Fetch()
		emit("", float64(v.Fetches), float64(v.Bytes), float64(v.Waits), float64(v.Refreshes), float64(v.Corrupt),
			float64(v.Missing), float64(v.ReadAhead), float64(v.TableReads), float64(v.Watched),
			float64(v.Sessions.Sessions), float64(v.Sessions.Partitions), float64(v.Sessions.Evicted))
	}}
}

func cacheGroup() group {
	return group{[]pulledMetric{
		counter("wadi_cache_hits_total", "Blocks that a read found."),
		counter("wadi_cache_shared_total", "Blocks that a read found being loaded."),
		counter("wadi_cache_misses_total", "Blocks that a read had to load."),
		counter("wadi_cache_loads_total", "Loads of blocks, read-ahead included."),
		counter("wadi_cache_load_errors_total", "Loads that failed."),
		counter("wadi_cache_prefetches_total", "Blocks loaded ahead."),
		counter("wadi_cache_prefetches_dropped_total", "Read-ahead that was dropped at a bound."),
		counter("wadi_cache_evictions_total", "Blocks and segments evicted to make room."),
		counter("wadi_cache_room_waits_total", "Reads that waited because readers held everything."),
		counter("wadi_cache_segments_put_total", "Segments handed over by the ingest path."),
		counter("wadi_cache_segments_dropped_total", "Segments handed over by the ingest path that found no room."),
		gauge("wadi_cache_entries", "Blocks and segments held."),
		gauge("wadi_cache_bytes", "Bytes held, pinned and being loaded."),
		gauge("wadi_cache_pinned_bytes", "Bytes that readers hold or that are being loaded."),
		gauge("wadi_cache_bytes_max", "The bound of wadi_cache_bytes."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Cache == nil {
			return
		}
		v := s.Cache()
		emit("", float64(v.Hits), float64(v.Shared), float64(v.Misses), float64(v.Loads), float64(v.LoadErrors),
			float64(v.Prefetches), float64(v.PrefetchesDropped), float64(v.Evictions), float64(v.RoomWaits),
			float64(v.Puts), float64(v.PutsDropped), float64(v.Entries), float64(v.Bytes), float64(v.PinnedBytes), float64(v.BytesMax))
	}}
}

func cacheDiskGroup() group {
	return group{[]pulledMetric{
		counter("wadi_cache_disk_hits_total", "Blocks that a load found on the disk."),
		counter("wadi_cache_disk_misses_total", "Blocks that a load did not find on the disk."),
		counter("wadi_cache_disk_broken_total", "Blocks on the disk that were not what was written, or could not be read. They are read from the bucket."),
		counter("wadi_cache_disk_writes_total", "Blocks written to the disk."),
		counter("wadi_cache_disk_writes_failed_total", "Blocks that could not be written. Nothing is written for a minute then."),
		counter("wadi_cache_disk_dropped_total", "Blocks that were not written because the disk is slow, or failed a write."),
		counter("wadi_cache_disk_evictions_total", "Blocks removed from the disk to make room."),
		gauge("wadi_cache_disk_blocks", "Blocks on the disk."),
		gauge("wadi_cache_disk_bytes", "Bytes of blocks on the disk, and of one being written."),
		gauge("wadi_cache_disk_bytes_max", "The bound of wadi_cache_disk_bytes."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.CacheDisk == nil {
			return
		}
		v := s.CacheDisk()
		emit("", float64(v.Hits), float64(v.Misses), float64(v.Broken), float64(v.Writes), float64(v.WritesFailed), float64(v.Dropped),
			float64(v.Evictions), float64(v.Blocks), float64(v.Bytes), float64(v.BytesMax))
	}}
}

func buffersGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_buffers_idle_bytes", "Bytes of segment buffers kept for reuse."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.BuffersIdle != nil {
			emit("", float64(s.BuffersIdle()))
		}
	}}
}

func replicasGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_replica_staleness_seconds", "Time since the begin of the last read that confirmed the replica.", "journal"),
		gauge("wadi_replica_version", "Version of the last entry that the replica has folded.", "journal"),
		gauge("wadi_replica_stopped", "1 if the journal can't be followed any more.", "journal"),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Replicas == nil {
			return
		}
		now := s.Clock()
		for _, r := range s.Replicas() {
			stopped := 0.0
			if r.Err() != nil {
				stopped = 1
			}
			emit(r.ID().String(), now.Sub(r.FreshAt()).Seconds(), float64(r.Version()), stopped)
		}
	}}
}

func lostTailsGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_lost_tails", "Journals that this agent has stopped since the metastore lost their newest entries. wadi metastore recover says what can be done."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Replicas == nil {
			return
		}
		n := 0
		for _, r := range s.Replicas() {
			if lost := new(metastore.LostTailError); errors.As(r.Err(), &lost) {
				n++
			}
		}
		emit("", float64(n))
	}}
}

func pushedGroup() group {
	return group{[]pulledMetric{
		counter("wadi_pushed_entries_received_total", "Entries that other agents pushed to this one."),
		counter("wadi_pushed_entries_known_total", "Entries that were pushed and had been read before."),
		counter("wadi_pushed_entries_early_total", "Entries that were pushed and came before their predecessors."),
		counter("wadi_pushed_entries_unwanted_total", "Entries that were pushed of journals that this agent does not know, or that have stopped, or that another server of the metastore has."),
		counter("wadi_push_gap_reads_total", "Reads of the metastore for what was missing under entries that were pushed."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Pushed == nil {
			return
		}
		v := s.Pushed()
		emit("", float64(v.Entries), float64(v.Known), float64(v.Early), float64(v.Unwanted), float64(v.Fills))
	}}
}

func peersGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_peers", "Other agents that this one pushes to, or tries to."),
		gauge("wadi_peers_reachable", "Other agents that answer this one."),
		gauge("wadi_peer_streams", "Streams by which other agents push to this one."),
		counter("wadi_peer_streams_ended_total", "Streams to other agents that broke, and tries that failed."),
		counter("wadi_pushed_entries_sent_total", "Entries that this agent pushed, one for each other agent."),
		counter("wadi_pushed_entries_dropped_total", "Entries that were not pushed because an agent is slow."),
		counter("wadi_pushed_bytes_sent_total", "Bytes of entries that this agent pushed."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Peers == nil {
			return
		}
		if v := s.Peers(); v != nil {
			emit("", float64(v.Peers), float64(v.Reachable), float64(v.Streams), float64(v.StreamsEnded),
				float64(v.Entries), float64(v.Dropped), float64(v.Bytes))
		}
	}}
}

// Agents is how an agent sees its cluster.
type Agents struct {
	Live, Named int
	Level       int32 // of features
	Served      int   // shards
}

func agentsGroup() group {
	return group{[]pulledMetric{
		gauge("wadi_agents_live", "Agents whose leases have not run out, as this one knows them, itself included."),
		gauge("wadi_agents_named", "Agents that clients are sent to."),
		gauge("wadi_feature_level", "The feature level of the cluster. It rises when the last agent of an older release is gone."),
		gauge("wadi_shards_served", "Shards for which clients are sent to this agent."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Agents == nil {
			return
		}
		v := s.Agents()
		emit("", float64(v.Live), float64(v.Named), float64(v.Level), float64(v.Served))
	}}
}

func statementsGroup() group {
	statements := counter("wadi_metastore_statements_total", "Calls to the metastore; on Postgres each is a statement.", "kind")
	return group{[]pulledMetric{
		statements.of("append"), statements.of("read"), statements.of("snapshots"), statements.of("place_snapshot"), statements.of("trim"),
		statements.of("begin_term"), statements.of("renew_term"), statements.of("end_term"), statements.of("terms"), statements.of("now"),
		statements.of("drain_term"), statements.of("prune_terms"),
		counter("wadi_metastore_entries_total", "Entries that appends to the metastore asked for."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Statements == nil {
			return
		}
		v := s.Statements()
		emit("", float64(v.Append), float64(v.Read), float64(v.Snapshots), float64(v.PlaceSnapshot), float64(v.Trim),
			float64(v.BeginTerm), float64(v.RenewTerm), float64(v.EndTerm), float64(v.Terms), float64(v.Now),
			float64(v.DrainTerm), float64(v.PruneTerms), float64(v.Parts))
	}}
}
