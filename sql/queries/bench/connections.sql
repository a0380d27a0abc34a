-- connections: the connections of other applications to this database, and our own.
-- Gives  one row: connections: of others; own_pids integer[]: of our backends; backend_pid: of this connection.
select
    count(*) filter (where a.application_name <> current_setting('application_name')) as connections,
    array_agg(a.pid) filter (where a.application_name = current_setting('application_name')) as own_pids,
    pg_backend_pid() as backend_pid
from pg_stat_activity as a
where a.datname = current_database() and a.backend_type = 'client backend';
