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

\echo 'Why scheduled jobs wait'
select
    coalesce(left(g.error, 90), 'asked for later') as reason,
    count(*) as jobs,
    date_trunc('second', min(g.run_at) - now()) as next_due_in
from blog_generations as g
where g.status = 'SCHEDULED'
group by reason
order by jobs desc
limit 20;
