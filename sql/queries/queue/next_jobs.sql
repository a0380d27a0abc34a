-- next_jobs: the jobs that claims would take next, also suspects, without their data.
-- Takes  sites int: how many sites from the head of the line, and how many of those that are to join it; jobs int: how
--        many jobs of each.
-- Gives  rows: job_id, instance_id.
with heads as (
    select s.instance_id
    from sites as s
    where s.ready and s.paused_at is null
    order by s.virtual_time, s.ready_at desc
    limit %(sites)s::integer
),

arrivals as (
    select a.instance_id from site_arrivals as a order by a.id limit %(sites)s::integer
)

select j.id as job_id, h.instance_id
from (select c.instance_id from heads as c union select a.instance_id from arrivals as a) as h
join sites as s using (instance_id)
cross join lateral (
    select g.id
    from blog_generations as g
    where g.instance_id = h.instance_id and is_claimable(g)
    order by g.line desc, g.priority desc, g.id
    limit %(jobs)s::integer
) as j
where s.paused_at is null
union
select g.id, g.instance_id
from (
    select p.id, p.instance_id
    from blog_generations as p
    where is_suspect(p)
    order by p.run_at
    limit %(sites)s::integer
) as g
join sites as s using (instance_id)
where s.paused_at is null
order by job_id;
