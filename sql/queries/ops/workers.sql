-- workers: registered workers, and whether they are alive.
select
    w.name,
    w.host,
    w.pid,
    w.version,
    w.concurrency,
    w.in_flight,
    w.draining,
    exists (select from quiet_workers as q where q.name = w.name) as quiet,
    w.lease_until > now() as alive,
    extract(epoch from now() - w.started_at)::double precision as up_s,
    extract(epoch from w.lease_until - now())::double precision as lease_s
from workers as w
order by w.name;
