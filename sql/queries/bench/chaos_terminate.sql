-- chaos_terminate: end one connection, as an administrator would.
-- Takes  pid.
select pg_terminate_backend(%(pid)s::integer) as done;
