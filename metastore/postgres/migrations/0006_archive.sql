-- The archive: which Parquet objects hold which offsets, and how far each partition is.

-- A row changes in the append that holds the archived effect, from one offset to a higher.
create table wadi.archive_progress (
    topic     bigint  not null,
    partition integer not null check (partition >= 0),
    upto      bigint  not null check (upto > 0),
    primary key (topic, partition)
);

create table wadi.archive_files (
    object        text        primary key collate "C" references wadi.segments (object),
    topic         text        not null collate "C",
    topic_id      text        not null,
    number        bigint      not null,
    partition     integer     not null check (partition >= 0),
    first         bigint      not null check (first >= 0),
    last          bigint      not null check (last >= first),
    rows          bigint      not null check (rows > 0),
    bytes         bigint      not null check (bytes > 0),
    min_timestamp bigint      not null,
    max_timestamp bigint      not null,
    date          text        not null,
    hour          integer     not null check (hour between 0 and 23),
    value         text        not null,
    created_at    timestamptz not null default clock_timestamp()
);
create index archive_files_offset on wadi.archive_files (topic, partition, first, object);
create index archive_files_oldest on wadi.archive_files (number, max_timestamp, object);

-- append_archive is append, and notes what is in the archive since, in the same transaction. It raises
-- WD001, by which all is undone, where another append has archived the offsets.
create function wadi.append_archive(in_term bigint, in_journals integer[], in_payloads bytea[], in_expects bigint[],
    in_objects text[], in_sizes bigint[],
    arch_topics bigint[], arch_partitions integer[], arch_expects bigint[], arch_tos bigint[],
    file_objects text[], file_topics text[], file_ids text[], file_numbers bigint[], file_partitions integer[],
    file_firsts bigint[], file_lasts bigint[], file_rows bigint[], file_bytes bigint[], file_mins bigint[], file_maxs bigint[],
    file_dates text[], file_hours integer[], file_values text[],
    out outcome text, out versions bigint[], out lost_journal integer, out lost_head bigint)
language plpgsql volatile
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
    changed integer;
begin
    select a.outcome, a.versions, a.lost_journal, a.lost_head into outcome, versions, lost_journal, lost_head
        from wadi.append(in_term, in_journals, in_payloads, in_expects) a;
    if outcome <> 'appended' then
        return;
    end if;

    for i in 1 .. cardinality(arch_topics) loop
        if arch_expects[i] = 0 then
            insert into wadi.archive_progress (topic, partition, upto)
                values (arch_topics[i], arch_partitions[i], arch_tos[i]) on conflict do nothing;
        else
            update wadi.archive_progress p set upto = arch_tos[i]
                where p.topic = arch_topics[i] and p.partition = arch_partitions[i] and p.upto = arch_expects[i];
        end if;
        get diagnostics changed = row_count;
        if changed = 0 then
            raise exception 'the offsets are archived' using errcode = 'WD001';
        end if;
    end loop;

    insert into wadi.segments (object, size)
        select s.object, s.size from unnest(in_objects, in_sizes) s(object, size) on conflict do nothing;
    get diagnostics changed = row_count;
    if changed <> cardinality(in_objects) then
        raise exception 'an object has a row already' using errcode = 'WD001';
    end if;

    insert into wadi.archive_files (object, topic, topic_id, number, partition, first, last, rows, bytes,
            min_timestamp, max_timestamp, date, hour, value)
        select * from unnest(file_objects, file_topics, file_ids, file_numbers, file_partitions, file_firsts, file_lasts,
            file_rows, file_bytes, file_mins, file_maxs, file_dates, file_hours, file_values);
end $$;

-- remove_archive deletes rows of archive files and retires their objects.
create function wadi.remove_archive(in_term bigint, in_reason text, in_objects text[], out outcome text)
language plpgsql volatile as $$
begin
    perform from wadi.terms t
        where t.term = in_term and t.ended_at is null and t.expires_at > clock_timestamp()
        for key share;
    if not found then
        outcome := 'ended';
        return;
    end if;
    with gone as (delete from wadi.archive_files f where f.object = any (in_objects) returning f.object)
    update wadi.segments s set retired_at = clock_timestamp(), reason = in_reason
        from gone where s.object = gone.object and s.retired_at is null;
    outcome := 'removed';
end $$;
