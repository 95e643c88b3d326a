-- The cluster, its terms, journals and snapshots' places. ../SCHEMA.md tells what
-- each table holds. Times are microseconds since 1970 UTC.

create table cluster (
    one          integer primary key default 1 check (one = 1), -- there is one row
    id           text    not null check (length(id) = 22),
    shards       integer not null check (shards > 0),
    groups       integer not null check (groups > 0),
    transactions integer not null check (transactions > 0),
    created_at   integer not null
) strict;

create table journals (
    journal integer primary key,
    name    text not null unique
) strict;

create table journal_entries (
    journal integer not null,
    version integer not null check (version > 0),
    payload blob    not null check (length(payload) between 1 and 1048576),
    primary key (journal, version)
) strict, without rowid;

-- trimmed: entries up to it have been deleted.
create table snapshots (
    journal   integer primary key references journals (journal),
    version   integer not null check (version >= 0),
    object    text    not null,
    hash      blob    not null check (length(hash) = 32),
    size      integer not null check (size >= 0),
    placed_at integer not null,
    trimmed   integer not null default 0 check (trimmed <= version)
) strict;

create table terms (
    term       integer primary key check (term > 0),
    node       integer not null check (node > 0),
    process    text    not null,
    zone       text    not null,
    kafka_host text    not null,
    kafka_port integer not null,
    begun_at   integer not null,
    expires_at integer not null,
    ended_at   integer
) strict;
create unique index terms_node on terms (node) where ended_at is null;
