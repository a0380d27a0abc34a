-- chaos_terminate: close one connection.
-- Takes  pid.
-- Gives  one row: done.
select pg_terminate_backend(%(pid)s::integer) as done;
