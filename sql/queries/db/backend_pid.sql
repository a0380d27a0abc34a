-- backend_pid: the server process that serves this session.
-- Gives  one row: pid int.
select pg_backend_pid() as pid;
