-- metrics_quotas: the most used quotas, without those of sites, of which there may be thousands.
-- Takes  most: number of quotas.
-- Gives  rows: name, provider, queue_length, blocked_s; requests_limit, requests_ratio; tokens_limit, tokens_ratio:
--        null: it counts requests only.
select
    v.name,
    v.provider,
    v.queue_length,
    v.blocked_s,
    v.max_requests as requests_limit,
    v.requests_percent / 100 as requests_ratio,
    v.max_tokens as tokens_limit,
    v.tokens_percent / 100 as tokens_ratio
from v_quotas as v
where v.provider <> 'wix'
order by greatest(v.requests_percent, v.tokens_percent) desc, v.name
limit %(most)s::bigint;
