-- errors: why jobs failed, grouped by the kind and the stage of their last error, and its text without numbers.
-- Takes  within_s: of jobs that failed in the last so many seconds; most: number of groups. The newest 10,000 are read.
-- Gives  rows, the largest groups first: kind (Unknown: no error was stored), stage (null: the same), message (of the newest), jobs, sites,
--        last_at, job_id (the newest), first_at, jobs_of_kind (in all groups).
-- Plan   blog_generations_finished_idx, then the errors of each job.
with failed as (
    select g.id, g.instance_id, g.finished_at, g.error
    from blog_generations as g
    where g.finished_at > now() - make_interval(secs => %(within_s)s::double precision) and g.status = 'FAILED'
    order by g.finished_at desc
    limit 10000
),

known as (
    select
        f.id,
        f.instance_id,
        f.finished_at,
        coalesce(e.kind, 'Unknown') as kind,
        e.stage,
        coalesce(e.message, f.error, '') as message
    from failed as f
    left join lateral (
        select l.kind, l.stage, l.message
        from generation_errors as l
        where l.generation_id = f.id
        order by l.id desc
        limit 1
    ) as e on true
)

select
    k.kind,
    k.stage,
    (array_agg(left(k.message, 500) order by k.finished_at desc))[1] as message,
    count(*) as jobs,
    count(distinct k.instance_id) as sites,
    min(k.finished_at) as first_at,
    max(k.finished_at) as last_at,
    max(k.id) as job_id,
    (sum(count(*)) over (partition by k.kind))::bigint as jobs_of_kind
from known as k
group by k.kind, k.stage, regexp_replace(left(k.message, 200), '[0-9]+', '#', 'g')
order by jobs desc, last_at desc
limit %(most)s::bigint;
