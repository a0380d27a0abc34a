-- backend: the process that runs this statement; its parent is the server.
-- Gives  one row: pid.
select pg_backend_pid() as pid;
