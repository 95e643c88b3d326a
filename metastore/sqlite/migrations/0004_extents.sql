-- Merged history: partition segments, their extents, and what waits for its deletion.

-- A row of a partition segment lives with it; one of an ingest segment or snapshot
-- is written when it is retired. retired_at is set once.
create table segments (
    object     text    primary key check (length(object) between 1 and 255),
    size       integer not null check (size >= 0),
    created_at integer not null,
    retired_at integer,
    reason     text    not null default '' check (length(reason) <= 64)
) strict, without rowid;
create index segments_retired on segments (retired_at) where retired_at is not null;

-- highest is the largest max_timestamp of the partition's extents up to this one, those
-- since removed included: it rises with the offsets, so a time is found by an index.
create table extents (
    topic         integer not null,
    partition     integer not null check (partition >= 0),
    base          integer not null check (base >= 0),
    "end"         integer not null check ("end" > base),
    shard         integer not null,
    object        text    not null references segments (object),
    position      integer not null check (position >= 0),
    length        integer not null check (length >= 0),
    records       integer not null check (records >= 0),
    max_timestamp integer not null,
    highest       integer not null,
    "index"       blob    not null check (length("index") <= 65536),
    primary key (topic, partition, base)
) strict, without rowid;
create index extents_object on extents (object);
create index extents_highest on extents (topic, partition, highest, base);
create index extents_latest on extents (topic, partition, max_timestamp desc, base);
create index extents_small on extents (shard, topic, partition, base) where length < 33554432;
