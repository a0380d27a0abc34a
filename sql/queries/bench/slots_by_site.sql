-- slots_by_site: the running and the waiting jobs of each site.
-- Gives  one row per site that has any: instance_id, weight; running, waiting: jobs; stages: of the running jobs; now_s:
--        the database's clock.
select
    g.instance_id,
    s.weight,
    count(*) filter (where g.status = 'PROCESSING') as running,
    count(*) filter (where g.status = 'PENDING') as waiting,
    coalesce(array_agg(g.stage) filter (where g.status = 'PROCESSING'), '{}') as stages,
    extract(epoch from clock_timestamp())::double precision as now_s
from blog_generations as g
join sites as s using (instance_id)
where g.status in ('PENDING', 'PROCESSING')
group by g.instance_id, s.weight;
