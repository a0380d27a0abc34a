-- quotas: the limits in force, and how much of them is used.
-- Takes  name text: only this quota, or null; every boolean: also Wix sites that are not blocked, not pinned and not near
--        their limit (near: half of the burst is used). There may be tens of thousands, and each row costs time.
-- Gives  name, provider, queue_length; for requests and tokens: in_last_minute, max_, _percent; pace; requests_ahead_s,
--        tokens_ahead_s: how many seconds into the future calls were granted; blocked_s; and the limits set.
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
    v.reported_requests_per_minute,
    v.reported_tokens_per_minute
from quotas as q
join v_quotas as v using (name)
where
    q.name = %(name)s::text
    or (
        %(name)s::text is null
        and (
            %(every)s::boolean
            or q.provider <> 'wix'
            or q.pinned
            or q.blocked_until > now()
            or q.requests_clock >= now() + make_interval(secs => q.burst_s / 2)
        )
    )
order by q.name;
