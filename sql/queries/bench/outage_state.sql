-- outage_state: the number of jobs by state.
-- Gives  one row: now_s: seconds of the database's clock; done, failed, open, attempts_used, claims.
select
    extract(epoch from clock_timestamp())::double precision as now_s,
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED') as failed,
    count(*) filter (where g.status in ('PENDING', 'SCHEDULED', 'PROCESSING')) as open,
    coalesce(sum(g.failures), 0) as attempts_used,
    coalesce(sum(g.attempt), 0) as claims
from blog_generations as g;
