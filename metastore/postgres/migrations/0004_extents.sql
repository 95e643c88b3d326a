-- Merged history: partition segments, their extents, and what waits for its deletion.

-- A row of a partition segment lives with it; one of an ingest segment or snapshot
-- is written when it is retired. retired_at is set once.
create table wadi.segments (
    object     text        primary key collate "C" check (length(object) between 1 and 255),
    size       bigint      not null check (size >= 0),
    created_at timestamptz not null default clock_timestamp(),
    retired_at timestamptz,
    reason     text        not null default '' check (length(reason) <= 64)
);
create index segments_retired on wadi.segments (retired_at) where retired_at is not null;

-- highest is the largest max_timestamp of the partition's extents up to this one, those
-- since removed included: it rises with the offsets, so a time is found by an index.
create table wadi.extents (
    topic         bigint  not null,
    partition     integer not null check (partition >= 0),
    base          bigint  not null check (base >= 0),
    "end"         bigint  not null check ("end" > base),
    shard         integer not null,
    object        text    not null collate "C" references wadi.segments (object),
    position      bigint  not null check (position >= 0),
    length        bigint  not null check (length >= 0),
    records       bigint  not null check (records >= 0),
    max_timestamp bigint  not null,
    highest       bigint  not null,
    "index"       bytea   not null check (octet_length("index") <= 65536),
    primary key (topic, partition, base)
);
create index extents_object on wadi.extents (object);
create index extents_highest on wadi.extents (topic, partition, highest, base);
create index extents_latest on wadi.extents (topic, partition, max_timestamp desc, base);
create index extents_small on wadi.extents (shard, topic, partition, base) where length < 33554432;

-- append_rows is append, and changes rows in the same transaction. It raises WD001, by
-- which all is undone, where another append has placed or removed the extents. The append
-- has locked the journals of the rows' shards, so no other changes them meanwhile, and
-- each statement here sees what was committed before the locks came.
create function wadi.append_rows(in_term bigint, in_journals integer[], in_payloads bytea[], in_expects bigint[],
    in_objects text[], in_sizes bigint[],
    gone_topics bigint[], gone_partitions integer[], gone_bases bigint[], gone_objects text[],
    new_shards integer[], new_topics bigint[], new_partitions integer[], new_bases bigint[], new_ends bigint[], new_objects text[],
    new_positions bigint[], new_lengths bigint[], new_records bigint[], new_timestamps bigint[], new_indexes bytea[],
    out outcome text, out versions bigint[], out lost_journal integer, out lost_head bigint)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    changed   integer;
    last_end  bigint;
    last_high bigint;
begin
    select a.outcome, a.versions, a.lost_journal, a.lost_head into outcome, versions, lost_journal, lost_head
        from wadi.append(in_term, in_journals, in_payloads, in_expects) a;
    if outcome <> 'appended' then
        return;
    end if;

    insert into wadi.segments (object, size)
        select s.object, s.size from unnest(in_objects, in_sizes) s(object, size) on conflict do nothing;
    get diagnostics changed = row_count;
    if changed <> cardinality(in_objects) then
        raise exception 'a segment has a row already' using errcode = 'WD001';
    end if;

    for i in 1 .. cardinality(gone_topics) loop
        delete from wadi.extents e where e.topic = gone_topics[i] and e.partition = gone_partitions[i]
            and e.base = gone_bases[i] and e.object = gone_objects[i];
        if not found then
            raise exception 'an extent is gone' using errcode = 'WD001';
        end if;
    end loop;

    for i in 1 .. cardinality(new_topics) loop
        last_high := new_timestamps[i];
        -- The last extent that begins below the new one's end: if any overlaps it, this one does.
        select e."end", e.highest into last_end, last_high from wadi.extents e
            where e.topic = new_topics[i] and e.partition = new_partitions[i] and e.base < new_ends[i]
            order by e.base desc limit 1;
        if found and last_end > new_bases[i] then
            raise exception 'an extent is there' using errcode = 'WD001';
        end if;
        insert into wadi.extents (topic, partition, base, "end", shard, object, position, length, records, max_timestamp, highest, "index")
            values (new_topics[i], new_partitions[i], new_bases[i], new_ends[i], new_shards[i], new_objects[i], new_positions[i],
                new_lengths[i], new_records[i], new_timestamps[i], greatest(last_high, new_timestamps[i]), new_indexes[i]);
    end loop;

    update wadi.segments s set retired_at = clock_timestamp(), reason = 'replaced'
        where s.object = any (gone_objects) and s.retired_at is null
        and not exists (select from wadi.extents e where e.object = s.object);
end $$;

-- retire writes a row, retired now, for each object that has none.
create function wadi.retire(in_term bigint, in_reason text, in_objects text[], in_sizes bigint[], out outcome text)
language plpgsql volatile as $$
begin
    perform from wadi.terms t
        where t.term = in_term and t.ended_at is null and t.expires_at > clock_timestamp()
        for key share;
    if not found then
        outcome := 'ended';
        return;
    end if;
    insert into wadi.segments (object, size, retired_at, reason)
        select s.object, s.size, clock_timestamp(), in_reason from unnest(in_objects, in_sizes) s(object, size)
        order by s.object on conflict do nothing;
    outcome := 'retired';
end $$;

-- collected deletes the rows of retired objects that are gone from the bucket.
create function wadi.collected(in_term bigint, in_objects text[], out outcome text)
language plpgsql volatile as $$
begin
    perform from wadi.terms t
        where t.term = in_term and t.ended_at is null and t.expires_at > clock_timestamp()
        for key share;
    if not found then
        outcome := 'ended';
        return;
    end if;
    delete from wadi.segments s where s.object = any (in_objects) and s.retired_at is not null;
    outcome := 'collected';
end $$;
