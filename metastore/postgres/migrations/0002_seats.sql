-- How agents know each other: where other agents reach one, what it is there for,
-- what it reads, its seat in its zone, and whether it is about to leave.

alter table wadi.terms
    add column peer     text    not null default '',
    add column roles    integer not null default 7,
    add column level    integer not null default 1,
    add column seat     integer not null default 0 check (seat >= 0), -- 0: it has none
    add column draining boolean not null default false;

-- The agents that live while this is done.
update wadi.terms t set seat = s.seat
from (select u.term, row_number() over (partition by u.zone, u.roles order by u.node) as seat
      from wadi.terms u where u.ended_at is null) s
where s.term = t.term;

-- Partial, as terms_node is: no renewal counts as a change of a key.
create unique index terms_seat on wadi.terms (zone, roles, seat) where ended_at is null and seat > 0;

-- begin_term begins a term on the lowest free node, in the lowest free seat.
create function wadi.begin_term(in_process text, in_zone text, in_kafka_host text, in_kafka_port integer,
    in_peer text, in_roles integer, in_level integer, in_lease interval,
    out new_term bigint, out new_node integer, out new_seat integer)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    live integer;
begin
    perform from wadi.cluster for no key update; -- one at a time
    new_term := coalesce((select t.term from wadi.terms t order by t.term desc limit 1), 0) + 1;
    live := (select count(*) from wadi.terms t where t.ended_at is null);
    new_node := (select min(n.node) from generate_series(1, live + 1) n(node)
        where not exists (select from wadi.terms t where t.node = n.node and t.ended_at is null));
    new_seat := (select min(n.seat) from generate_series(1, live + 1) n(seat)
        where not exists (select from wadi.terms t
            where t.zone = in_zone and t.roles = in_roles and t.seat = n.seat and t.ended_at is null and t.seat > 0));
    insert into wadi.terms (term, node, process, zone, kafka_host, kafka_port, peer, roles, level, seat, expires_at)
        values (new_term, new_node, in_process, in_zone, in_kafka_host, in_kafka_port, in_peer, in_roles, in_level, new_seat,
            clock_timestamp() + in_lease);
end $$;

-- As agents of the release before this one call it.
create or replace function wadi.begin_term(in_process text, in_zone text, in_kafka_host text, in_kafka_port integer, in_lease interval,
    out new_term bigint, out new_node integer)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
begin
    select b.new_term, b.new_node into new_term, new_node
    from wadi.begin_term(in_process, in_zone, in_kafka_host, in_kafka_port, '', 7, 1, in_lease) b;
end $$;

-- prune_terms deletes the oldest rows of terms that ended before in_age ago, but for
-- those to keep and the newest term, whose number the next one follows.
create function wadi.prune_terms(in_age interval, in_keep bigint[], in_rows_max integer) returns integer
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    pruned integer;
begin
    delete from wadi.terms d where d.term in (
        select t.term from wadi.terms t
        where t.ended_at <= clock_timestamp() - in_age and t.term <> all (in_keep)
            and t.term < (select n.term from wadi.terms n order by n.term desc limit 1)
        order by t.term limit in_rows_max);
    get diagnostics pruned = row_count;
    return pruned;
end $$;
