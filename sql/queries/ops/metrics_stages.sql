-- metrics_stages: how long the stages took of the jobs that ended last, in the last hour at most.
-- Takes  sample: number of jobs.
-- Gives  rows: stage, p50, p95: seconds.
-- Plan   blog_generations_finished_idx, then the primary key of generation_stages for each job.
select
    s.stage,
    percentile_cont(0.5) within group (order by s.duration_s) as p50,
    percentile_cont(0.95) within group (order by s.duration_s) as p95
from (
    select g.id
    from blog_generations as g
    where g.finished_at > now() - interval '1 hour'
    order by g.finished_at desc
    limit %(sample)s::bigint
) as j
cross join lateral (
    select c.stage, c.duration_s
    from generation_stages as c
    where
        c.generation_id = j.id
        and c.stage in ('source', 'ideas', 'content', 'image', 'publish')
        and c.duration_s is not null
    offset 0 -- else the planner may read the whole table: 7 ms with 57,000 rows, and more each day
) as s
group by s.stage
order by s.stage;
