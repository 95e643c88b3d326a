-- No append to come names an ingest segment of the term up to this number: those that no
-- journal names are dead. An agent of an older release leaves it at 0.
alter table wadi.terms add column settled bigint not null default 0 check (settled >= 0);
