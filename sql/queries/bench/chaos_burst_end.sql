-- chaos_burst_end: half of the burst's blogs that have not begun are cancelled, the others put off for a year.
-- Gives  one row: cancelled, put_off.
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
    count(*) filter (where e.status = 'SCHEDULED') as put_off
from ended as e;
