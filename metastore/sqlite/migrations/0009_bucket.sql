-- Which bucket is the cluster's: the name in its marker object, null until the first
-- agent has claimed one. Set once.
alter table cluster add column bucket text check (length(bucket) between 1 and 64);
