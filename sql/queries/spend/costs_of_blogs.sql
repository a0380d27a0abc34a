-- costs_of_blogs: what finished and failed jobs cost, and calls that may have been billed without an answer.
-- Takes  days: today and the days before it, UTC; instance_id, null: all sites.
--        most: how many of the last finished jobs the average cost is computed from.
-- Gives  one row: done: finished jobs; done_usd: the cost of the last done_seen of them; failed: failed jobs, and
--        failed_usd: their cost; unanswered: paid calls without an answer; cut_off: attempts in a paid stage whose
--        worker died. Pruned jobs are not counted.
with ended as (
    select g.id, g.status
    from blog_generations as g
    where
        g.finished_at >= (utc_day(now()) + 1 - %(days)s::integer)::timestamp at time zone 'UTC'
        and g.status in ('DONE', 'FAILED')
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
),

last_done as (
    select g.id
    from blog_generations as g
    where
        g.finished_at >= (utc_day(now()) + 1 - %(days)s::integer)::timestamp at time zone 'UTC'
        and g.status = 'DONE'
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
    order by g.finished_at desc
    limit %(most)s::integer
),

paid as (
    select l.id, c.cost_usd
    from last_done as l
    cross join lateral (
        select coalesce(sum(s.cost_usd), 0) as cost_usd
        from generation_stages as s
        where s.generation_id = l.id
        offset 0 -- forces one index lookup per job, as in spend/usage
    ) as c
),

unknown as (
    select e.kind
    from generation_errors as e
    join blog_generations as g on g.id = e.generation_id
    where
        e.created_at >= (utc_day(now()) + 1 - %(days)s::integer)::timestamp at time zone 'UTC'
        and e.stage in ('ideas', 'content', 'image')
        and e.kind in ('OutcomeUnknown', 'TimeoutError', 'LeaseLost')
        and (%(instance_id)s::text is null or g.instance_id = %(instance_id)s)
)

select
    (select count(*) from ended as d where d.status = 'DONE') as done,
    (select coalesce(sum(p.cost_usd), 0) from paid as p) as done_usd,
    (select count(*) from paid) as done_seen,
    (select count(*) from ended as d where d.status = 'FAILED') as failed,
    (
        select coalesce(sum(c.cost_usd), 0)
        from ended as d
        join generation_stages as c on c.generation_id = d.id
        where d.status = 'FAILED'
    ) as failed_usd,
    (select count(*) from unknown as k where k.kind <> 'LeaseLost') as unanswered,
    (select count(*) from unknown as k where k.kind = 'LeaseLost') as cut_off;
