-- live_workers: the number of workers that have a lease.
-- Gives  one row: workers; backend_pid: of this connection.
select count(*) as workers, pg_backend_pid() as backend_pid from workers as w where w.lease_until > now();
