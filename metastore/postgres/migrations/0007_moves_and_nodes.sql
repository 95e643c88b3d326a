-- What is read is on the standby, too; moves between servers are remembered; a node
-- is not given to another agent while clients may look for the one before.

-- moves are the servers that were confirmed, one after the other, and the heads that
-- each was left with: an agent that comes late may have slept over several.
create table wadi.moves (
    number   integer     primary key,
    identity text        not null,
    moved_at timestamptz not null default clock_timestamp(),
    journals integer[]   not null default '{}',
    heads    bigint[]    not null default '{}'
);
insert into wadi.moves (number, identity) select 0, s.identity from wadi.server s;

-- confirm says on a server other than the one confirmed, or than the one that the
-- caller knows, what the caller had seen on that one. The server is confirmed, and appended to,
-- once all live terms have said so, and one of them has told what the bucket shows:
-- in_bucket. waiting are those that have not, 0 being the bucket. heads are the
-- lowest that the journals were left with since the server that the caller knows.
create function wadi.confirm(in_known text, in_term bigint, in_bucket boolean, in_journals integer[], in_seen bigint[], in_last_term bigint,
    out outcome text, out identity text, out waiting bigint[], out journals integer[], out heads bigint[])
language plpgsql volatile as $$
declare
    held  wadi.server;
    since integer;
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
    since := (select max(m.number) from wadi.moves m where m.identity = in_known);
    if since is null and in_known is not null then
        -- This server never heard of that one: it can tell only what it has now.
        select h.journals, h.heads into confirm.journals, confirm.heads from wadi.heads_now() h;
    else
        if in_known is null then -- an agent of the release before: of the last move only
            since := (select max(m.number) from wadi.moves m) - (held.identity = identity)::integer;
        end if;
        select array_agg(l.journal order by l.journal), array_agg(l.head order by l.journal) into confirm.journals, confirm.heads
        from (select p.journal, min(p.head) as head
            from (select m.journals, m.heads from wadi.moves m where m.number > since
                union all select held.journals, held.heads where held.identity <> confirm.identity) a(journals, heads),
                unnest(a.journals, a.heads) p(journal, head)
            group by p.journal) l;
    end if;
    perform wadi.mark_lost(in_journals, in_seen, confirm.journals, confirm.heads, held.moved_at, in_last_term);
    if held.identity = identity then
        outcome := 'late'; -- the others went on without this one
        return;
    end if;
    if in_term <> all (held.reported) then
        held.reported := array_append(held.reported, in_term);
    end if;
    if in_bucket and 0 <> all (held.reported) then
        held.reported := array_append(held.reported, 0::bigint);
    end if;
    waiting := (select array_agg(w.term order by w.term)
        from (select t.term from wadi.terms t where t.ended_at is null and t.expires_at > clock_timestamp() union all select 0) w
        where w.term <> all (held.reported));
    outcome := case when waiting is null then 'confirmed' else 'waiting' end;
    if waiting is null then
        insert into wadi.moves (number, identity, journals, heads)
            select max(m.number) + 1, confirm.identity, held.journals, held.heads from wadi.moves m;
        delete from wadi.moves m where m.number <= (select max(n.number) from wadi.moves n) - 1000;
    end if;
    update wadi.server s set
        identity = case when waiting is null then confirm.identity else s.identity end,
        confirmed_at = case when waiting is null then clock_timestamp() else s.confirmed_at end,
        moved_to = case when waiting is null then null else confirm.identity end,
        moved_at = held.moved_at, reported = held.reported, journals = held.journals, heads = held.heads;
end $$;

-- As agents of the release before this one call it.
create or replace function wadi.confirm(in_term bigint, in_journals integer[], in_seen bigint[], in_last_term bigint,
    out outcome text, out identity text, out waiting bigint[], out journals integer[], out heads bigint[])
language plpgsql volatile as $$
begin
    select c.outcome, c.identity, c.waiting, c.journals, c.heads into outcome, identity, waiting, confirm.journals, confirm.heads
    from wadi.confirm(null, in_term, true, in_journals, in_seen, in_last_term) c;
end $$;

-- tells_cuts refuses a session that would not be told that the wait for the
-- synchronous standby was cut off: its commits would look like any other.
create function wadi.tells_cuts() returns void
language plpgsql stable as $$
begin
    if current_setting('client_min_messages') = 'error' then
        raise exception 'wadi needs to see warnings: client_min_messages is error, set it to warning';
    end if;
end $$;

-- prove makes a read wait, at its end, until all that it saw is on the synchronous
-- standby, if there is one: a commit whose own wait was cut off (a cancelled or ended
-- session, a restart) is visible before. The message is a write, whose
-- place in the log is behind them all.
create function wadi.prove() returns boolean
language plpgsql volatile as $$
begin
    if current_setting('synchronous_standby_names') = '' or pg_current_xact_id_if_assigned() is not null then
        return false;
    end if;
    perform wadi.tells_cuts();
    perform pg_logical_emit_message(true, 'wadi', '');
    return true;
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
    perform wadi.tells_cuts();
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

create index terms_ended on wadi.terms (ended_at) where ended_at is not null;

-- begin_term begins a term on the lowest free node, in the lowest free seat. A node
-- that an agent had at another address within 10 minutes is not free: clients look at
-- their metadata again after 5 (metadata.max.age.ms), and would take one for the other.
create or replace function wadi.begin_term(in_process text, in_zone text, in_kafka_host text, in_kafka_port integer,
    in_peer text, in_roles integer, in_level integer, in_lease interval,
    out new_term bigint, out new_node integer, out new_seat integer)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    live integer;
    held integer[];
begin
    perform from wadi.cluster for no key update; -- one at a time
    new_term := coalesce((select t.term from wadi.terms t order by t.term desc limit 1), 0) + 1;
    live := (select count(*) from wadi.terms t where t.ended_at is null);
    held := array(
        select t.node from wadi.terms t where t.ended_at is null
        union
        select t.node from wadi.terms t where t.ended_at > clock_timestamp() - interval '10 minutes'
            and t.kafka_host <> '' and (t.kafka_host, t.kafka_port) <> (in_kafka_host, in_kafka_port));
    new_node := (select min(n.node) from generate_series(1, cardinality(held) + 1) n(node) where n.node <> all (held));
    new_seat := (select min(n.seat) from generate_series(1, live + 1) n(seat)
        where not exists (select from wadi.terms t
            where t.zone = in_zone and t.roles = in_roles and t.seat = n.seat and t.ended_at is null and t.seat > 0));
    insert into wadi.terms (term, node, process, zone, kafka_host, kafka_port, peer, roles, level, seat, expires_at)
        values (new_term, new_node, in_process, in_zone, in_kafka_host, in_kafka_port, in_peer, in_roles, in_level, new_seat,
            clock_timestamp() + in_lease);
end $$;
