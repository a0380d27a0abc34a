-- costs_of_blogs: what finished and failed blogs cost, and what may have been billed without our knowing.
-- Takes  days: today and those before it, UTC; instance_id, null: all sites.
--        most: how many of the last finished blogs the average cost is taken from.
-- Gives  one row: done: finished blogs; done_usd: the cost of the last done_seen of them; failed: failed blogs, which cost
--        failed_usd; unanswered: paid calls to vendors whose answer never came; cut_off: attempts in a paid stage that
--        lost their worker. Pruned blogs are not counted.
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
        offset 0 -- by the key of each blog, as in spend/usage
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
