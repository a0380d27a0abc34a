-- failover_reload: let the server read its settings again.
-- Gives  one row.
select pg_reload_conf();
