-- queue_counts: jobs by status. Jobs that have not ended are counted from partial indexes; ended ones, of the last day.
-- Gives  rows: status, jobs, oldest (created_at), newest.
select
    g.status,
    count(*) as jobs,
    min(g.created_at) as oldest,
    max(g.created_at) as newest
from blog_generations as g
where g.status in ('SCHEDULED', 'PENDING', 'PROCESSING')
group by g.status
union all
select
    g.status,
    count(*),
    min(g.created_at),
    max(g.created_at)
from blog_generations as g
where g.finished_at > now() - interval '1 day' and g.status in ('DONE', 'FAILED', 'CANCELLED')
group by g.status
order by status;
