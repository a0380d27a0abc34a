-- chaos_burst_end: cancel half of the jobs of the burst that no worker has claimed, and postpone the others by a year.
-- Gives  one row: cancelled, postponed.
with ended as (
    update blog_generations as g
    set
        status = case when mod(g.id, 2) = 0 then 'CANCELLED' else g.status end,
        run_at = case when mod(g.id, 2) = 0 then g.run_at else now() + interval '1 year' end
    where g.instance_id like 'burst-%%' and g.status = 'PENDING' and g.attempt = 0
    returning g.status
)

select
    count(*) filter (where e.status = 'CANCELLED') as cancelled,
    count(*) filter (where e.status = 'SCHEDULED') as postponed
from ended as e;
