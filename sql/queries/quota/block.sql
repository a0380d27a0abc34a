-- block: no call of this bucket for so many seconds, on any worker. A longer block in force stays.
-- Takes  name; seconds.
update quotas as q
set blocked_until = greatest(q.blocked_until, clock_timestamp() + make_interval(secs => %(seconds)s))
where q.name = %(name)s;
