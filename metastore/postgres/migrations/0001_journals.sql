-- The cluster, its journals and its terms. "wadi." stands for the schema, which
-- the metastore's URL names. SCHEMA.md tells what each table holds.

create table wadi.migrations (
    number     integer     primary key,
    name       text        not null,
    applied_at timestamptz not null default clock_timestamp()
);

create table wadi.cluster (
    one          boolean     primary key default true check (one), -- there is one row
    id           text        not null check (length(id) = 22),
    shards       integer     not null check (shards > 0),
    groups       integer     not null check (groups > 0),
    transactions integer     not null check (transactions > 0),
    created_at   timestamptz not null default clock_timestamp()
);

-- Rows are locked by appends and never updated: a counter here would leave a dead
-- version per append, which pile up under a long snapshot.
create table wadi.journals (
    journal integer primary key,
    name    text    not null unique
);

-- No foreign key to journals: the append has locked the row already. Payloads are
-- dense, so compressing them is wasted work; up to 8 KB stays in the row itself.
create table wadi.journal_entries (
    journal integer not null,
    version bigint  not null check (version > 0),
    payload bytea   not null check (octet_length(payload) between 1 and 1048576),
    primary key (journal, version)
) with (toast_tuple_target = 8160);
alter table wadi.journal_entries alter column payload set storage external;

-- trimmed: entries up to it have been deleted, so a trim starts behind the dead rows of
-- the last one, not among them.
create table wadi.snapshots (
    journal   integer     primary key references wadi.journals (journal),
    version   bigint      not null check (version >= 0),
    object    text        not null,
    hash      bytea       not null check (octet_length(hash) = 32),
    size      bigint      not null check (size >= 0),
    placed_at timestamptz not null default clock_timestamp(),
    trimmed   bigint      not null default 0 check (trimmed <= version)
) with (fillfactor = 50);

create table wadi.terms (
    term       bigint      primary key check (term > 0),
    node       integer     not null check (node > 0),
    process    text        not null,
    zone       text        not null,
    kafka_host text        not null,
    kafka_port integer     not null,
    begun_at   timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    ended_at   timestamptz
) with (fillfactor = 50);
-- Partial, so that no renewal counts as a change of a key, which would wait for appends.
create unique index terms_node on wadi.terms (node) where ended_at is null;

-- The settings of the functions: a plan that was made and kept while a table was
-- small would go on scanning it whole when it no longer is.

-- append adds one entry to each journal, or refuses and adds nothing. expects has
-- the head that a strict part demands, -1 for a routine part.
create function wadi.append(in_term bigint, in_journals integer[], in_payloads bytea[], in_expects bigint[],
    out outcome text, out versions bigint[], out lost_journal integer, out lost_head bigint)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    locked integer;
    heads  bigint[];
begin
    -- Under a snapshot of the whole transaction the heads below would be old ones; and
    -- an append that a crash can take back must not be answered.
    if current_setting('transaction_isolation') <> 'read committed'
        or current_setting('synchronous_commit') = 'off' or current_setting('fsync') = 'off' then
        raise exception 'wadi appends only under read committed, with synchronous_commit and fsync on';
    end if;

    -- The lock holds off whoever ends the term (end_term takes it for update) until
    -- this has committed, and lets renewals pass.
    perform from wadi.terms t
        where t.term = in_term and t.ended_at is null and t.expires_at > clock_timestamp()
        for key share;
    if not found then
        outcome := 'ended';
        return;
    end if;

    -- A statement of its own, whose order of locking is the order of its sort: no
    -- two appends wait for each other in a circle.
    perform from wadi.journals j where j.journal = any (in_journals) order by j.journal for no key update;
    get diagnostics locked = row_count;
    if locked <> cardinality(in_journals) then
        raise exception 'append names a journal twice or one that there is not: %', in_journals;
    end if;

    -- A new statement sees what was committed before the locks came.
    select array_agg(h.head order by p.ord) into heads
    from unnest(in_journals) with ordinality p(journal, ord)
    cross join lateral (
        select coalesce((select e.version from wadi.journal_entries e
            where e.journal = p.journal order by e.version desc limit 1), 0) as head) h;

    for i in 1 .. cardinality(in_expects) loop
        if in_expects[i] >= 0 and in_expects[i] <> heads[i] then
            outcome := 'lost';
            lost_journal := in_journals[i];
            lost_head := heads[i];
            return;
        end if;
        versions[i] := heads[i] + 1;
    end loop;

    insert into wadi.journal_entries (journal, version, payload)
    select p.journal, p.version, p.payload from unnest(in_journals, versions, in_payloads) p(journal, version, payload);
    outcome := 'appended';
end $$;

-- tails returns for each position a row with the head and no entry, then its
-- entries: consecutive ones from after + 1, at most bytes_max of payload but for
-- the first, at most 1024. Stable: all of it is of one moment.
create function wadi.tails(in_journals integer[], in_afters bigint[], in_bytes_max bigint)
returns table (place integer, head bigint, version bigint, payload bytea)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    newest bigint;
    size   bigint;
begin
    for i in 1 .. cardinality(in_journals) loop
        newest := coalesce((select e.version from wadi.journal_entries e
            where e.journal = in_journals[i] order by e.version desc limit 1), 0);
        place := i;
        head := newest;
        version := null;
        payload := null;
        return next;
        continue when newest <= in_afters[i];
        head := null;
        size := 0;
        -- Bounded on both sides: nothing older or newer is looked at, dead rows of a trim included.
        for version, payload in
            select e.version, e.payload from wadi.journal_entries e
            where e.journal = in_journals[i] and e.version > in_afters[i] and e.version <= in_afters[i] + 1024
            order by e.version
        loop
            exit when size = 0 and version <> in_afters[i] + 1; -- trimmed: the caller sees it by the lack of entries
            size := size + octet_length(payload);
            exit when version > in_afters[i] + 1 and size > in_bytes_max;
            return next;
        end loop;
    end loop;
end $$;

-- place_snapshot records a snapshot's place unless one as new is placed, and
-- returns the one it replaced.
create function wadi.place_snapshot(in_term bigint, in_journal integer, in_version bigint, in_object text, in_hash bytea, in_size bigint,
    out outcome text, out old_version bigint, out old_object text, out old_hash bytea, out old_size bigint)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    newest bigint;
begin
    perform from wadi.terms t
        where t.term = in_term and t.ended_at is null and t.expires_at > clock_timestamp()
        for key share;
    if not found then
        outcome := 'ended';
        return;
    end if;
    newest := coalesce((select e.version from wadi.journal_entries e
        where e.journal = in_journal order by e.version desc limit 1), 0);
    if in_version > newest then
        raise exception 'snapshot of journal % at version %: its head is %', in_journal, in_version, newest;
    end if;
    insert into wadi.snapshots (journal, version, object, hash, size)
        values (in_journal, in_version, in_object, in_hash, in_size)
        on conflict (journal) do nothing;
    if found then
        outcome := 'placed';
        return;
    end if;
    select s.version, s.object, s.hash, s.size into old_version, old_object, old_hash, old_size
        from wadi.snapshots s where s.journal = in_journal for no key update;
    if in_version <= old_version then
        outcome := 'ignored';
        return;
    end if;
    update wadi.snapshots s
        set version = in_version, object = in_object, hash = in_hash, size = in_size, placed_at = clock_timestamp()
        where s.journal = in_journal;
    outcome := 'replaced';
end $$;

-- trim deletes the oldest entries up to in_through, the snapshot and the head but
-- one, at most rows_max, and returns how many.
create function wadi.trim(in_journal integer, in_through bigint, in_rows_max bigint) returns bigint
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    gone    bigint;
    last    bigint;
    deleted bigint;
begin
    select s.trimmed, least(in_through, s.version, s.trimmed + in_rows_max) into gone, last
        from wadi.snapshots s where s.journal = in_journal for no key update;
    if not found then
        return 0;
    end if;
    last := least(last, coalesce((select e.version from wadi.journal_entries e
        where e.journal = in_journal order by e.version desc limit 1), 0) - 1);
    if last <= gone then
        return 0;
    end if;
    delete from wadi.journal_entries e where e.journal = in_journal and e.version > gone and e.version <= last;
    get diagnostics deleted = row_count;
    update wadi.snapshots s set trimmed = last where s.journal = in_journal;
    return deleted;
end $$;

-- begin_term begins a term on the lowest free node.
create function wadi.begin_term(in_process text, in_zone text, in_kafka_host text, in_kafka_port integer, in_lease interval,
    out new_term bigint, out new_node integer)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
begin
    perform from wadi.cluster for no key update; -- one at a time
    new_term := coalesce((select t.term from wadi.terms t order by t.term desc limit 1), 0) + 1;
    new_node := (select min(n.node) from generate_series(1, 1 + (select count(*)::integer from wadi.terms t where t.ended_at is null)) n(node)
        where not exists (select from wadi.terms t where t.node = n.node and t.ended_at is null));
    insert into wadi.terms (term, node, process, zone, kafka_host, kafka_port, expires_at)
        values (new_term, new_node, in_process, in_zone, in_kafka_host, in_kafka_port, clock_timestamp() + in_lease);
end $$;

-- end_term ends a term: by force, or once its lease has expired. It returns
-- whether the term is ended now, null if there never was such a term.
create function wadi.end_term(in_term bigint, in_force boolean) returns boolean
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    held wadi.terms;
begin
    -- For update waits for the appends of the term that are under way; a plain
    -- update would not, and would fence nothing.
    select t.* into held from wadi.terms t where t.term = in_term for update;
    if not found then
        return null;
    end if;
    if held.ended_at is not null then
        return true;
    end if;
    if not in_force and held.expires_at > clock_timestamp() then
        return false;
    end if;
    update wadi.terms t set ended_at = clock_timestamp() where t.term = in_term;
    return true;
end $$;
