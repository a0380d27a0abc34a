-- What did it cost?     psql "$DATABASE_URL" -f sql/inspect/costs.sql
\echo 'By day and model'
select
    u.hour::date as day,
    u.provider,
    u.model,
    sum(u.requests) as requests,
    sum(u.tokens_in) as tokens_in,
    sum(u.tokens_out) as tokens_out,
    round(sum(u.cost_usd), 4) as usd
from provider_usage as u
where u.hour > now() - interval '31 days'
group by day, u.provider, u.model
order by day desc, usd desc;

\echo 'The costliest sites of the last 31 days'
select u.instance_id, round(sum(u.cost_usd), 4) as usd, sum(u.requests) as requests
from provider_usage as u
where u.hour > now() - interval '31 days'
group by u.instance_id
order by usd desc
limit 20;
