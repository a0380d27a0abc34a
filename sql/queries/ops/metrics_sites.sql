-- metrics_sites: the sites with the most jobs that run or ended in the last hour.
-- Takes  top: number of sites; sample: only the newest `sample` ended jobs are read; most: the PENDING jobs of a site are
--        counted up to this number.
-- Gives  rows: instance_id, pending, processing.
-- Plan   partial indexes of blog_generations; for each site blog_generations_pending_idx.
with active as (
    select g.instance_id
    from blog_generations as g
    where g.status = 'PROCESSING'
    union all
    (
        select g.instance_id
        from blog_generations as g
        where g.finished_at > now() - interval '1 hour'
        order by g.finished_at desc
        limit %(sample)s::bigint
    )
),

busiest as (
    select a.instance_id, count(*) as jobs
    from active as a
    group by a.instance_id
    order by jobs desc, a.instance_id
    limit %(top)s::bigint
)

select
    b.instance_id,
    (
        select count(*)
        from (
            select
            from blog_generations as g
            where g.instance_id = b.instance_id and g.status = 'PENDING'
            limit %(most)s::bigint
        ) as p
    ) as pending,
    site_in_flight(b.instance_id) as processing
from busiest as b
order by b.jobs desc, b.instance_id;
