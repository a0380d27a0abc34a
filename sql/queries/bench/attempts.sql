-- attempts: was anything claimed twice, or left?
-- Gives  one row: twice, unfinished.
select
    count(*) filter (where g.attempt > 1) as twice,
    count(*) filter (where g.status <> 'DONE') as unfinished
from blog_generations as g;
