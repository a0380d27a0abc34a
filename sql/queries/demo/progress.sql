-- progress: the number of jobs of each site by status.
-- Gives  rows: instance_id, name, total, done, processing, failed.
select
    s.instance_id,
    coalesce(s.name, s.instance_id) as name,
    count(*) as total,
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'PROCESSING') as processing,
    count(*) filter (where g.status in ('FAILED', 'CANCELLED')) as failed
from blog_generations as g
join sites as s using (instance_id)
group by s.instance_id
order by count(*) desc, s.instance_id;
