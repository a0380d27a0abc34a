-- chaos_state: the number of jobs by state.
-- Gives  one row: done; failed, without poisoned rows; open: pending, running, or scheduled within a day.
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED' and g.instance_id not like 'poison-%%') as failed,
    count(*) filter (
        where g.status in ('PENDING', 'PROCESSING') or (g.status = 'SCHEDULED' and g.run_at < now() + interval '1 day')
    ) as open
from blog_generations as g;
