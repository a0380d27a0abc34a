-- failover_position: how far the log of the primary has been written.
-- Gives  one row: position.
select pg_current_wal_flush_lsn()::text as position;
