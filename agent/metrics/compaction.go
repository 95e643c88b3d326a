package metrics

// Compaction is what a term's compaction counts.
type Compaction struct {
	Merges, MergesLost, Remerges, MergedExtents int64
	BytesRead, BytesWritten                     int64
	LogStartsMoved, RowsRemoved                 int64
	Retired, Deleted, UploadsEnded, Failures    int64
	Stopped                                     int64 // partitions
	Cleanings, CleanedRecords, CleanedBytes     int64
	Uncleanable                                 int64 // partitions
	ArchiveFiles, ArchiveRows, ArchiveBytes     int64
	ArchivesLost, ArchiveExpired                int64
	ArchiveDead                                 int64 // rows
}

func compactionGroup() group {
	return group{[]pulledMetric{
		counter("wadi_compaction_merges_total", "Merges of shards' extents that were swapped in."),
		counter("wadi_compaction_merges_lost_total", "Merges that another agent's came before."),
		counter("wadi_compaction_remerges_total", "Merges of small extents of partition segments."),
		counter("wadi_compaction_extents_total", "Extents that merges took out of shards' states."),
		counter("wadi_compaction_read_bytes_total", "Bytes that merges read."),
		counter("wadi_compaction_written_bytes_total", "Bytes of the partition segments that merges wrote."),
		counter("wadi_compaction_log_starts_total", "Log starts moved by retention."),
		counter("wadi_compaction_rows_removed_total", "Rows of extents removed below log starts and of deleted topics."),
		counter("wadi_compaction_retired_total", "Objects that were found dead: they wait for the grace."),
		counter("wadi_compaction_deleted_total", "Objects deleted from the bucket."),
		counter("wadi_compaction_uploads_ended_total", "Uploads in parts that dead agents had left unfinished, and that were ended."),
		counter("wadi_compaction_failures_total", "Jobs that failed and are tried again."),
		counter("wadi_archive_objects_total", "Objects of the archive that were written and committed."),
		counter("wadi_archive_rows_total", "Records in them."),
		counter("wadi_archive_dlq_rows_total", "Those of them that wadi.archive.schema could not type: they are in the archive's <topic>__dlq."),
		counter("wadi_archive_bytes_total", "Their bytes."),
		counter("wadi_archive_lost_total", "Archive jobs that another agent's came before."),
		counter("wadi_archive_expired_total", "Objects that wadi.archive.retention.ms removed from the archive."),
		gauge("wadi_compaction_stopped_partitions", "Partitions whose merging has stopped because a segment is damaged. Look into the log."),
		counter("wadi_compaction_cleanings_total", "Passes of key compaction over a partition."),
		counter("wadi_compaction_cleaned_records_total", "Records that key compaction removed."),
		counter("wadi_compaction_cleaned_bytes_total", "Bytes that key compaction left out of what it wrote anew."),
		gauge("wadi_compaction_uncleanable_partitions", "Partitions whose key compaction has stopped because of a batch. Look into the log."),
	}, func(s *Sources, emit func(string, ...float64)) {
		if s.Compaction == nil {
			return
		}
		v := s.Compaction()
		if v == nil {
			return
		}
		emit("", float64(v.Merges), float64(v.MergesLost), float64(v.Remerges), float64(v.MergedExtents), float64(v.BytesRead), float64(v.BytesWritten),
			float64(v.LogStartsMoved), float64(v.RowsRemoved), float64(v.Retired), float64(v.Deleted), float64(v.UploadsEnded), float64(v.Failures),
			float64(v.ArchiveFiles), float64(v.ArchiveRows), float64(v.ArchiveDead), float64(v.ArchiveBytes), float64(v.ArchivesLost), float64(v.ArchiveExpired), float64(v.Stopped),
			float64(v.Cleanings), float64(v.CleanedRecords), float64(v.CleanedBytes), float64(v.Uncleanable))
	}}
}
