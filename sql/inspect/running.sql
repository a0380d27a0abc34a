-- What runs now, who holds it, since when? Which workers live?     psql "$DATABASE_URL" -f sql/inspect/running.sql
\echo 'Workers'
select
    w.name,
    w.host,
    w.pid,
    w.version,
    w.in_flight || '/' || w.concurrency as slots,
    date_trunc('second', now() - w.started_at) as up,
    date_trunc('second', w.lease_until - now()) as lease,
    case when w.lease_until <= now() then 'lost' when w.draining then 'draining' else 'alive' end as state
from workers as w
order by w.name;

\echo 'Jobs being worked on, the longest first'
select
    g.id,
    g.instance_id,
    g.stage,
    g.attempt,
    date_trunc('second', now() - g.claimed_at) as held_for,
    coalesce(w.name, 'no live worker: the job will be rescued') as worker
from blog_generations as g
left join workers as w using (worker_id)
where g.status = 'PROCESSING'
order by g.claimed_at
limit 50;
