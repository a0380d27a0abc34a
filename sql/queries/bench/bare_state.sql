-- bare_state: the ended blogs of the bare worker.
-- Gives  one row: done; ended: also those that FAILED; twice: ended more than once.
select
    count(*) filter (where b.status = 'DONE') as done,
    count(*) filter (where b.status in ('DONE', 'FAILED')) as ended,
    count(*) filter (where b.finishes > 1) as twice
from bare_blogs as b;
