-- The archive: which Parquet objects hold which offsets, and how far each partition is.

-- A row changes in the append that holds the archived effect, from one offset to a higher.
create table archive_progress (
    topic     integer not null,
    partition integer not null check (partition >= 0),
    upto      integer not null check (upto > 0),
    primary key (topic, partition)
) strict, without rowid;

create table archive_files (
    object        text    primary key references segments (object),
    topic         text    not null,
    topic_id      text    not null,
    number        integer not null,
    partition     integer not null check (partition >= 0),
    first         integer not null check (first >= 0),
    last          integer not null check (last >= first),
    rows          integer not null check (rows > 0),
    bytes         integer not null check (bytes > 0),
    min_timestamp integer not null,
    max_timestamp integer not null,
    date          text    not null,
    hour          integer not null check (hour between 0 and 23),
    value         text    not null,
    created_at    integer not null
) strict, without rowid;
create index archive_files_offset on archive_files (topic, partition, first, object);
create index archive_files_oldest on archive_files (number, max_timestamp, object);
