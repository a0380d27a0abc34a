-- costs_by_model: what was spent, by provider and model.
-- Takes  days: today and the days before it, UTC; instance_id, null: all sites.
-- Gives  rows: provider, model, and the sums of the ledger; posts: with a score, written by the model; score: their
--        average, null without posts; the most expensive first.
select
    u.provider,
    u.model,
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
group by u.provider, u.model
order by cost_usd desc, u.provider, u.model;
