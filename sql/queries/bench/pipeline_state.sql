-- pipeline_state: the ended jobs.
-- Gives  one row: done; ended: also those that FAILED; twice: claimed more than once.
select
    count(*) filter (where g.status = 'DONE') as done,
    count(*) filter (where g.status in ('DONE', 'FAILED')) as ended,
    count(*) filter (where g.attempt > 1) as twice
from blog_generations as g;
