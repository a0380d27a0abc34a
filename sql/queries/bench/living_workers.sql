-- living_workers: the workers that have a lease, and the process that answers here.
-- Gives  one row: workers, backend_pid.
select count(*) as workers, pg_backend_pid() as backend_pid from workers as w where w.lease_until > now();
