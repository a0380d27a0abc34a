-- usage: the usage of the providers until now.
-- Gives  one row: text_requests, images, tokens, cost_usd.
select
    coalesce(sum(u.requests) filter (where u.provider = 'openai'), 0)::bigint as text_requests,
    coalesce(sum(u.requests) filter (where u.provider = 'replicate'), 0)::bigint as images,
    coalesce(sum(u.tokens_in + u.tokens_out), 0)::bigint as tokens,
    coalesce(sum(u.cost_usd), 0)::double precision as cost_usd
from provider_usage as u;
