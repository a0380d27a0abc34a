-- chaos_terminate_all: end all sessions of this database but this one.
-- Gives  one row: ended.
select count(pg_terminate_backend(a.pid)) as ended
from pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid();
