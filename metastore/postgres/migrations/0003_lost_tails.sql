-- A database that failed over to a standby, or was restored, may have lost the newest
-- entries of its journals. Nothing is appended on another server or timeline before
-- every live agent has said what it had seen, and nothing into a journal that lost
-- its tail before that is recovered.

-- moved_to is another server, from the first call that came there until it is confirmed;
-- reported are the terms that have said there what they had seen. heads are what
-- that server held when the first call came: the journals in journals' order.
create table wadi.server (
    one          boolean     primary key default true check (one), -- there is one row
    by_start     boolean     not null, -- told by when it was started: this Postgres doesn't tell its timeline
    identity     text        not null, -- of the server that was confirmed
    confirmed_at timestamptz not null default clock_timestamp(),
    moved_to     text,
    moved_at     timestamptz not null default clock_timestamp(),
    reported     bigint[]    not null default '{}',
    journals     integer[]   not null default '{}',
    heads        bigint[]    not null default '{}'
);

-- seen is the newest version that is known to have been assigned; head what was left.
-- terms may have written what is lost. recovery is the term that alone may append.
create table wadi.lost_tails (
    journal      integer     primary key references wadi.journals (journal),
    head         bigint      not null,
    seen         bigint      not null check (seen > head),
    terms        bigint[]    not null,
    server       text        not null,
    found_at     timestamptz not null default clock_timestamp(),
    recovery     bigint,
    recovered_at timestamptz
);

-- here names the server and the timeline that this session is on. A restart changes
-- neither, a promotion the timeline, a restored dump the system's identifier.
create function wadi.here(in_by_start boolean) returns text
language plpgsql stable as $$
begin
    if in_by_start then
        return 'started ' || extract(epoch from pg_postmaster_start_time());
    end if;
    return (select s.system_identifier from pg_control_system() s) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
end $$;

do $$ begin
    insert into wadi.server (by_start, identity) values (false, wadi.here(false));
exception when others then
    insert into wadi.server (by_start, identity) values (true, wadi.here(true));
end $$;

-- settled tells whether this server is the one that was confirmed, and that the
-- caller knows, unless that is null. (A term that lives has confirmed it.)
create function wadi.settled(in_known text) returns boolean
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
begin
    return (select s.identity = wadi.here(s.by_start) and s.identity = coalesce(in_known, s.identity) from wadi.server s where s.one);
end $$;

-- heads_now returns the heads of all journals, which the caller has locked.
create function wadi.heads_now(out journals integer[], out heads bigint[])
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
begin
    select array_agg(h.head order by h.journal), array_agg(h.journal order by h.journal) into heads, journals
    from (select j.journal, coalesce((select e.version from wadi.journal_entries e
        where e.journal = j.journal order by e.version desc limit 1), 0) as head from wadi.journals j) h;
end $$;

-- mark_lost marks the journals of which a later version was seen than is, or was,
-- left. One that was recovered from the same loss stays so.
create function wadi.mark_lost(in_journals integer[], in_seen bigint[], in_left_journals integer[], in_left bigint[],
    in_since timestamptz, in_last_term bigint) returns integer
language plpgsql volatile as $$
declare
    marked integer;
    newest bigint := coalesce((select t.term from wadi.terms t order by t.term desc limit 1), 0);
begin
    insert into wadi.lost_tails as l (journal, head, seen, terms, server)
    select p.journal, h.head, p.seen,
        coalesce((select array_agg(t.term order by t.term) from wadi.terms t
            where t.ended_at is null or t.ended_at > in_since - interval '1 minute'), '{}')
            || coalesce((select array_agg(g.term) from generate_series(newest + 1, in_last_term) g(term)), '{}'),
        (select wadi.here(s.by_start) from wadi.server s)
    from unnest(in_journals, in_seen) p(journal, seen)
    join unnest(in_left_journals, in_left) h(journal, head) on h.journal = p.journal and p.seen > h.head
    order by p.journal
    on conflict (journal) do update set
        head = case when l.recovered_at is null then l.head else excluded.head end,
        seen = case when l.recovered_at is null then greatest(l.seen, excluded.seen) else excluded.seen end,
        terms = case when l.recovered_at is null then l.terms else excluded.terms end,
        server = excluded.server,
        found_at = case when l.recovered_at is null then l.found_at else clock_timestamp() end,
        recovery = case when l.recovered_at is null then l.recovery end,
        recovered_at = null
    where case when l.recovered_at is null then l.seen < excluded.seen
        else l.server <> excluded.server or l.seen < excluded.seen end;
    get diagnostics marked = row_count;
    -- A term that only what is lost knew of: its number is not given out again.
    if in_last_term > newest then
        insert into wadi.terms (term, node, process, zone, kafka_host, kafka_port, expires_at, ended_at)
        values (in_last_term, 1, 'lost', '', '', 0, clock_timestamp(), clock_timestamp());
    end if;
    return marked;
end $$;

-- lost_now is mark_lost by what is in the journals at this moment: for who starts, and compares them with the bucket.
create function wadi.lost_now(in_journals integer[], in_seen bigint[], in_last_term bigint) returns integer
language plpgsql volatile as $$
declare
    left_here record;
begin
    perform from wadi.cluster for no key update; -- no term begins
    perform from wadi.journals j order by j.journal for no key update; -- nothing is appended
    select * into left_here from wadi.heads_now();
    return wadi.mark_lost(in_journals, in_seen, left_here.journals, left_here.heads, clock_timestamp(), in_last_term);
end $$;

-- confirm says on a server other than the one confirmed, or than the one that the
-- caller knows, what the caller had seen. The server is confirmed, and appended to,
-- once all live terms have said so. waiting are those that have not.
create function wadi.confirm(in_term bigint, in_journals integer[], in_seen bigint[], in_last_term bigint,
    out outcome text, out identity text, out waiting bigint[], out journals integer[], out heads bigint[])
language plpgsql volatile as $$
declare
    held wadi.server;
begin
    perform from wadi.cluster for no key update;
    perform from wadi.journals j order by j.journal for no key update;
    select s.* into held from wadi.server s for update;
    identity := wadi.here(held.by_start);
    if held.identity <> identity and held.moved_to is distinct from identity then
        select h.journals, h.heads into held.journals, held.heads from wadi.heads_now() h;
        held.moved_at := clock_timestamp();
        held.reported := '{}';
    end if;
    journals := held.journals;
    heads := held.heads;
    perform wadi.mark_lost(in_journals, in_seen, held.journals, held.heads, held.moved_at, in_last_term);
    if held.identity = identity then
        outcome := 'late'; -- the others went on without this one
        return;
    end if;
    held.reported := array_append(held.reported, in_term);
    waiting := (select array_agg(t.term order by t.term) from wadi.terms t
        where t.ended_at is null and t.expires_at > clock_timestamp() and t.term <> all (held.reported));
    outcome := case when waiting is null then 'confirmed' else 'waiting' end;
    update wadi.server s set
        identity = case when waiting is null then confirm.identity else s.identity end,
        confirmed_at = case when waiting is null then clock_timestamp() else s.confirmed_at end,
        moved_to = case when waiting is null then null else confirm.identity end,
        moved_at = held.moved_at, reported = held.reported, journals = held.journals, heads = held.heads;
end $$;

-- append adds one entry to each journal, or refuses and adds nothing. expects has
-- the head that a strict part demands, -1 for a routine part. Of a journal whose tail was
-- lost versions has what was left and what was seen.
create or replace function wadi.append(in_term bigint, in_journals integer[], in_payloads bytea[], in_expects bigint[],
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
    if not wadi.settled(null) then
        outcome := 'moved';
        return;
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

    -- After the locks, which who marks a journal holds too.
    select l.journal, array[l.head, l.seen] into lost_journal, versions from wadi.lost_tails l
        where l.journal = any (in_journals) and l.recovered_at is null and l.recovery is distinct from in_term limit 1;
    if found then
        outcome := 'tail lost';
        return;
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
