-- What failed, and why?     psql "$DATABASE_URL" -f sql/inspect/failures.sql
\echo 'Errors of the last day'
select
    e.stage,
    e.kind,
    coalesce(e.provider, '') as provider,
    coalesce(e.code, e.status::text, '') as code,
    count(*) as times,
    count(distinct e.generation_id) as jobs,
    count(*) filter (where not e.retryable) as final,
    date_trunc('second', now() - max(e.created_at)) as last_ago,
    left(max(e.message), 100) as example
from generation_errors as e
where e.created_at > now() - interval '1 day'
group by e.stage, e.kind, e.provider, e.code, e.status
order by times desc
limit 30;

\echo 'Jobs that ended FAILED, the latest first (retry: update blog_generations set status = ''PENDING'' where id = ...)'
select g.id, g.instance_id, g.stage, g.failures, date_trunc('second', now() - g.finished_at) as ago, left(g.error, 120) as error
from blog_generations as g
where g.status = 'FAILED' and g.finished_at > now() - interval '7 days'
order by g.finished_at desc
limit 30;
