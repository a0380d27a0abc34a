-- open_jobs: how many jobs of some sites have started, and how many have not ended.
-- Takes  prefix: of the sites' names; '' means all sites.
-- Gives  one row: started, open; now_s: the database's clock.
select
    count(*) filter (where g.attempt > 0) as started,
    count(*) filter (where g.status in ('SCHEDULED', 'PENDING', 'PROCESSING')) as open,
    extract(epoch from clock_timestamp())::double precision as now_s
from blog_generations as g
where starts_with(g.instance_id, %(prefix)s);
