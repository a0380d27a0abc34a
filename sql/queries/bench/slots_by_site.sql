-- slots_by_site: how many slots each site holds at this moment, and how many of its blogs wait for one.
-- Gives  one row a site that has either: instance_id, weight, held, waiting; stages: the stage of each blog that holds a
--        slot; now_s: the database's clock.
select
    g.instance_id,
    s.weight,
    count(*) filter (where g.status = 'PROCESSING') as held,
    count(*) filter (where g.status = 'PENDING') as waiting,
    coalesce(array_agg(g.stage) filter (where g.status = 'PROCESSING'), '{}') as stages,
    extract(epoch from clock_timestamp())::double precision as now_s
from blog_generations as g
join sites as s using (instance_id)
where g.status in ('PENDING', 'PROCESSING')
group by g.instance_id, s.weight;
