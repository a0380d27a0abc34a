-- block: no call of this bucket for so many seconds, on any worker. A longer block in force stays.
-- Takes  name; seconds.
-- Calls that were granted and are not due yet ask again, so their share of the clocks is dropped: what is beyond the
-- burst. The same holds wherever the epoch changes.
update quotas as q
set
    blocked_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    requests_clock = least(q.requests_clock, clock_timestamp() + make_interval(secs => q.burst_s)),
    tokens_clock = least(q.tokens_clock, clock_timestamp() + make_interval(secs => q.burst_s)),
    epoch = q.epoch + 1
where q.name = %(name)s and q.blocked_until < clock_timestamp() + make_interval(secs => %(seconds)s);
