-- metrics_ended: jobs that ended, by status.
-- Takes  most: only the newest `most` jobs are read.
-- Gives  rows: status, last_minute, last_hour.
-- Plan   blog_generations_finished_idx.
select
    e.status,
    count(*) filter (where e.finished_at > now() - interval '1 minute') as last_minute,
    count(*) as last_hour
from (
    select g.status, g.finished_at
    from blog_generations as g
    where g.finished_at > now() - interval '1 hour'
    order by g.finished_at desc
    limit %(most)s::bigint
) as e
group by e.status
order by e.status;
