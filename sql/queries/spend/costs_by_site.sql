-- costs_by_site: the most expensive sites.
-- Takes  days: today and the days before it, UTC; instance_id, null: all; most.
-- Gives  rows: instance_id, name, cost_usd, today_usd, posts (with a score), score (average), budget_day_usd,
--        budget_month_usd, pause_reason.
select
    u.instance_id,
    s.name,
    u.cost_usd,
    u.today_usd,
    u.posts,
    u.score,
    s.budget_day_usd,
    s.budget_month_usd,
    s.pause_reason
from (
    select
        p.instance_id,
        sum(p.cost_usd) as cost_usd,
        coalesce(sum(p.cost_usd) filter (where p.day = utc_day(now())), 0) as today_usd,
        sum(p.posts)::bigint as posts,
        round(sum(p.score_sum) / nullif(sum(p.posts), 0), 1) as score
    from site_spend as p
    where
        p.day > utc_day(now()) - %(days)s::integer
        and (%(instance_id)s::text is null or p.instance_id = %(instance_id)s)
    group by p.instance_id
    order by cost_usd desc, p.instance_id
    limit %(most)s
) as u
left join sites as s using (instance_id)
order by u.cost_usd desc, u.instance_id;
