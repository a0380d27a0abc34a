-- chaos_backends: the connections of the workers.
-- Gives  pid, in order.
select a.pid
from pg_stat_activity as a
where a.datname = current_database() and a.application_name like 'blogworker chaos/%%' and a.pid <> pg_backend_pid()
order by a.pid;
