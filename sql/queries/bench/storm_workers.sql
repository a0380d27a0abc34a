-- storm_workers: the worker processes that have a lease, those that have had it longest first.
-- Gives  name, pid.
select w.name, w.pid from workers as w where w.lease_until > now() order by w.started_at;
