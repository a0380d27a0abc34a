-- quotas: the limits in force and how far they are used: seconds that what is granted reaches into the future.
select
    q.name,
    q.requests_per_minute,
    q.tokens_per_minute,
    q.pinned,
    q.vendor_requests_per_minute,
    q.vendor_tokens_per_minute,
    quota_pace(q, clock_timestamp()) as pace,
    greatest(extract(epoch from q.requests_clock - clock_timestamp()), 0)::double precision as requests_ahead_s,
    greatest(extract(epoch from q.tokens_clock - clock_timestamp()), 0)::double precision as tokens_ahead_s,
    greatest(extract(epoch from q.blocked_until - clock_timestamp()), 0)::double precision as blocked_s
from quotas as q
order by q.name;
