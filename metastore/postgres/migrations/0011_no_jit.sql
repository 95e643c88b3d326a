-- Sequential scans are turned off in these functions, which makes those of their tables that have no index, or
-- few rows, look dear beyond all measure. So dear a plan is compiled (LLVM): 0.3 s and more for the first term of each
-- connection, most of an agent's start. What is called often goes by indexes, and never was.

alter function wadi.begin_term(text, text, text, integer, text, integer, integer, interval) set jit = off;
alter function wadi.end_term set jit = off;
alter function wadi.prune_terms set jit = off;
alter function wadi.place_snapshot set jit = off;
alter function wadi.trim set jit = off;
alter function wadi.heads_now set jit = off;
