// Package cache keeps bytes of segments in memory, and lends segment buffers, its own oldest ones.
//
// It does: hold whole ingest segments that the ingest path hands over, and blocks
// of other segments that it loads; load a block once however many ask for it; pin
// what readers hold, so that their slices stay valid without a copy; evict what
// was least recently used, a scan before what is read again; read ahead, many blocks by one request; keep
// loaded blocks on a local disk, too, if there is one (disk.go).
//
// It does not: know what is in a segment, or check it. Whoever does and finds it
// broken calls Pinned.Evict and reads once more, which loads it anew.
//
// Invariants: bytes held, pinned and being loaded never pass Config.BytesMax (I8);
// a slice of a Pinned never changes before its Release; a buffer is given back
// exactly once, when it is neither held nor pinned; one load per block at a time;
// a load's error is told to those who waited for it, and not kept.
//
// On failure: a reader whose ctx ends leaves, the load goes on for the others. A
// reader that finds no room, since everything is pinned, waits at most
// Config.RoomWaitMax; an ingest segment that finds none is not kept. What the disk
// lost, tore or can't take is read from the bucket.
//
// Start reading at cache.go, then read.go, load.go, room.go, disk.go. buffers.go stands alone.
package cache
