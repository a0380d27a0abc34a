-- block: stop all calls of this bucket for some seconds, on every worker. A longer block that is in force stays.
-- Takes  name; seconds.
update quotas as q
set
    blocked_until = clock_timestamp() + make_interval(secs => least(1e9, %(seconds)s)),
    epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and q.blocked_until < clock_timestamp() + make_interval(secs => least(1e9, %(seconds)s));
