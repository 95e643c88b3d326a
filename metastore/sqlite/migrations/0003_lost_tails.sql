-- Journals that lost their tail: a file that was restored is older than the bucket
-- beside it. seen is the newest version known to have been assigned; head what was left.
-- terms may have written what is lost, as a JSON list. recovery is the term that alone may append.
create table lost_tails (
    journal      integer primary key references journals (journal),
    head         integer not null,
    seen         integer not null check (seen > head),
    terms        text    not null,
    found_at     integer not null,
    recovery     integer,
    recovered_at integer
) strict;
