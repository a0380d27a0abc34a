-- chaos_state: how far the queue is.
-- Gives  one row: done, failed (poisoned rows may), open: waiting for their turn, running, or due; what waits for a time
--        of its own is not.
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status = 'FAILED' and g.instance_id not like 'poison-%%') as failed,
    count(*) filter (
        where g.status in ('PENDING', 'PROCESSING') or (g.status = 'SCHEDULED' and g.run_at < now() + interval '1 day')
    ) as open
from blog_generations as g;
