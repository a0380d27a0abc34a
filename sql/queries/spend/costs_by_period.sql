-- costs_by_period: what was spent, by day or month.
-- Takes  period: day or month; days: today and the days before it, UTC; instance_id, null: all sites.
-- Gives  rows: begins (date), and the sums of the ledger; posts with a score, their average score; the newest first.
select
    date_trunc(%(period)s, u.hour at time zone 'UTC')::date as begins,
    sum(u.requests)::bigint as requests,
    sum(u.tokens_in)::bigint as tokens_in,
    sum(u.tokens_cached)::bigint as tokens_cached,
    sum(u.tokens_out)::bigint as tokens_out,
    sum(u.cost_usd) as cost_usd,
    sum(u.wasted)::bigint as wasted,
    sum(u.wasted_usd) as wasted_usd,
    sum(u.unpriced)::bigint as unpriced,
    sum(u.posts)::bigint as posts,
    round(sum(u.score_sum) / nullif(sum(u.posts), 0), 1) as score
from provider_usage as u
where
    u.hour >= (utc_day(now()) + 1 - %(days)s::integer)::timestamp at time zone 'UTC'
    and (%(instance_id)s::text is null or u.instance_id = %(instance_id)s)
group by begins
order by begins desc;
