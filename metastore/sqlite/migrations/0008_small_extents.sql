-- Extents of partition segments are merged again until they have 128 MiB: the index of
-- small ones holds more of them. What looks for smaller ones finds them in it as well.

create index extents_smaller on extents (shard, topic, partition, base) where length < 134217728;
drop index extents_small;
