-- failover_terminate: end all sessions of a database but this one.
-- Takes  name: the database.
-- Gives  one row: ended.
select count(pg_terminate_backend(a.pid)) as ended
from pg_stat_activity as a
where a.datname = %(name)s and a.pid <> pg_backend_pid();
