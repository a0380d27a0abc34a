-- failover_caught_up: whether a synchronous standby has the log up to a position on disk.
-- Takes  position.
-- Gives  one row if it has, else none.
select 1 as caught_up
from pg_stat_replication as r
where r.sync_state = 'sync' and r.flush_lsn >= %(position)s::pg_lsn;
