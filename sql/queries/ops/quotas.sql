-- quotas: the limits in force, and how far the fleet uses them.
-- Gives  name, provider, queue_length; requests and tokens: in_last_minute, max_, _percent; pace; requests_ahead_s,
--        tokens_ahead_s: seconds that what is granted reaches into the future; blocked_s; and the limits set.
select
    v.name,
    v.provider,
    v.queue_length,
    v.requests_in_last_minute,
    v.max_requests,
    v.requests_percent,
    v.tokens_in_last_minute,
    v.max_tokens,
    v.tokens_percent,
    v.pace,
    v.requests_ahead_s,
    v.tokens_ahead_s,
    v.blocked_s,
    v.pinned,
    v.requests_per_minute,
    v.tokens_per_minute,
    v.vendor_requests_per_minute,
    v.vendor_tokens_per_minute
from v_quotas as v
order by v.name;
