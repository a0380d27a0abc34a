-- attempts: jobs that were claimed more than once, and jobs that are not DONE.
-- Gives  one row: twice, unfinished.
select
    count(*) filter (where g.attempt > 1) as twice,
    count(*) filter (where g.status <> 'DONE') as unfinished
from blog_generations as g;
