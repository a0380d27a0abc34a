-- connections: the connections of other applications to this database.
-- Gives  one row: connections; backend_pid: of this connection.
select count(*) as connections, pg_backend_pid() as backend_pid
from pg_stat_activity as a
where
    a.datname = current_database()
    and a.backend_type = 'client backend'
    and a.application_name <> current_setting('application_name');
