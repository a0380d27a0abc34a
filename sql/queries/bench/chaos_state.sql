-- chaos_state: how far the queue is.
-- Gives  one row: done, failed, open (waiting, running, scheduled).
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status in ('FAILED', 'CANCELLED')) as failed,
    count(*) filter (where g.status in ('PENDING', 'PROCESSING', 'SCHEDULED')) as open
from blog_generations as g;
