-- outage_state: where the blogs stand, and the database's clock in seconds.
select
    extract(epoch from clock_timestamp())::double precision as now_s,
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED') as failed,
    count(*) filter (where g.status in ('PENDING', 'SCHEDULED', 'PROCESSING')) as left,
    coalesce(sum(g.failures), 0) as spent,
    coalesce(sum(g.attempt), 0) as claims
from blog_generations as g;
