-- blocked: which of these buckets a vendor's 429 has stopped for longer than that.
-- Takes  names text[]; longer_than_s.
-- Gives  the name of each.
select q.name
from quotas as q
where
    q.name = any (%(names)s::text[])
    and q.blocked_until > clock_timestamp() + make_interval(secs => %(longer_than_s)s);
