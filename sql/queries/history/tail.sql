-- tail: what ended since the last recorded minute, of the last ten minutes. At most 20,000 jobs are read, the newest.
-- Gives  rows: minute, done, failed, cancelled; oldest first.
-- Plan   blog_generations_finished_idx.
select
    date_trunc('minute', j.finished_at) as minute,
    count(*) filter (where j.status = 'DONE') as done,
    count(*) filter (where j.status = 'FAILED') as failed,
    count(*) filter (where j.status = 'CANCELLED') as cancelled
from (
    select g.status, g.finished_at
    from blog_generations as g
    where
        g.finished_at >= greatest(
            (select max(h.minute) from history as h) + interval '1 minute', now() - interval '10 minutes'
        )
    order by g.finished_at desc
    limit 20000
) as j
group by minute
order by minute;
