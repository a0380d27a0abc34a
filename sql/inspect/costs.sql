-- What did it cost, and what may it?     psql "$DATABASE_URL" -f sql/inspect/costs.sql
\echo 'Today, this month, and where it is going (UTC)'
select
    round(s.spent_today_usd, 4) as today,
    s.budget_day_usd as day_budget,
    round(s.spent_month_usd, 4) as month,
    s.budget_month_usd as month_budget,
    round(s.held_usd, 4) as reserved,
    round(s.a_day_usd, 4) as a_day,
    round(s.projected_month_usd, 2) as projected_month,
    s.posts_month as posts,
    s.score_month as score,
    coalesce(s.stop_reason, 'open') as gate
from spending as s;

\echo 'By day and model'
select
    (u.hour at time zone 'UTC')::date as day,
    u.provider,
    u.model,
    sum(u.requests) as requests,
    sum(u.tokens_in) as tokens_in,
    sum(u.tokens_cached) as cached,
    sum(u.tokens_out) as tokens_out,
    round(sum(u.cost_usd), 4) as usd,
    round(sum(u.wasted_usd), 4) as wasted_usd,
    sum(u.unpriced) as unpriced,
    round(sum(u.score_sum) / nullif(sum(u.posts), 0), 1) as score
from provider_usage as u
where u.hour > now() - interval '31 days'
group by day, u.provider, u.model
order by day desc, usd desc;

\echo 'The costliest sites of the last 31 days'
select
    p.instance_id, round(sum(p.cost_usd), 4) as usd, round(sum(p.score_sum) / nullif(sum(p.posts), 0), 1) as score,
    s.budget_day_usd, s.budget_month_usd, s.pause_reason
from site_spend as p
left join sites as s using (instance_id)
where p.day > utc_day(now()) - 31
group by p.instance_id, s.budget_day_usd, s.budget_month_usd, s.pause_reason
order by usd desc
limit 20;
