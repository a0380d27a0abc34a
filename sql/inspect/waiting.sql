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

\echo 'Why they wait, and until when'
select
    count(*) as jobs,
    date_trunc('second', now() - min(v.created_at)) as oldest,
    date_trunc('second', min(v.until) - now()) as goes_on_in,
    v.reason
from v_waiting as v
group by v.reason
order by jobs desc
limit 20;

\echo 'What its owner put off'
select count(*) as jobs, date_trunc('second', min(g.run_at) - now()) as next_due_in
from blog_generations as g
where g.status = 'SCHEDULED';
