-- chaos_spend: the paid calls whose answer was stored.
-- Gives  one row: text, images.
select
    coalesce(sum(u.requests) filter (where u.provider = 'openai'), 0)::bigint as text,
    coalesce(sum(u.requests) filter (where u.provider = 'replicate'), 0)::bigint as images
from provider_usage as u;
