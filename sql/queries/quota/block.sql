-- block: no call of this bucket for so many seconds, on any worker. A longer block in force stays.
-- Takes  name; seconds.
update quotas as q
set
    blocked_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    epoch = q.epoch + 1
where q.name = %(name)s and q.blocked_until < clock_timestamp() + make_interval(secs => %(seconds)s);
