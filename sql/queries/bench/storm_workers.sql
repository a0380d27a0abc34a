-- storm_workers: the worker processes that have a lease, the oldest first.
-- Gives  name, pid.
select w.name, w.pid from workers as w where w.lease_until > now() order by w.started_at;
