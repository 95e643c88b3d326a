-- How agents know each other: where other agents reach one, what it is there for,
-- what it reads, its seat in its zone, and whether it is about to leave.

alter table terms add column peer     text    not null default '';
alter table terms add column roles    integer not null default 7;
alter table terms add column level    integer not null default 1;
alter table terms add column seat     integer not null default 0 check (seat >= 0); -- 0: it has none
alter table terms add column draining integer not null default 0;

create unique index terms_seat on terms (zone, roles, seat) where ended_at is null and seat > 0;
