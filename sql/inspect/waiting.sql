-- What is waiting, and for how long?     psql "$DATABASE_URL" -f sql/inspect/waiting.sql
\echo 'Jobs that have not ended'
select
    g.status,
    g.stage,
    count(*) as jobs,
    date_trunc('second', now() - min(g.created_at)) as oldest,
    date_trunc('second', min(g.run_at) filter (where g.status = 'SCHEDULED') - now()) as next_due_in
from blog_generations as g
where g.status in ('SCHEDULED', 'PENDING', 'PROCESSING')
group by g.status, g.stage
order by g.status, g.stage;

\echo 'Providers that are left alone, and with them the stages that need them'
select
    h.provider,
    date_trunc('second', now() - h.opened_at) as since,
    date_trunc('second', h.retry_at - now()) as next_try_in,
    h.reason
from provider_health as h
where h.state <> 'closed';

\echo 'Why scheduled jobs wait'
select
    count(*) as jobs,
    date_trunc('second', min(g.run_at) - now()) as next_due_in,
    coalesce(left(g.error, 90), 'asked for later') as reason
from blog_generations as g
where g.status = 'SCHEDULED'
group by reason
order by jobs desc
limit 20;
