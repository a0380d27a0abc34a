-- faults_spend: the ledger of each provider, and the predictions whose image became a cover.
-- Gives  one row per provider: provider, requests, cost_usd, wasted, wasted_usd; used text[]: the same in each row.
select
    u.provider,
    sum(u.requests)::integer as requests,
    sum(u.cost_usd) as cost_usd,
    sum(u.wasted)::integer as wasted,
    sum(u.wasted_usd) as wasted_usd,
    array(
        select s.output ->> 'prediction_id'
        from generation_stages as s
        where s.stage = 'image' and s.output ->> 'prediction_id' is not null
    ) as used
from provider_usage as u
group by u.provider
order by u.provider;
