-- slow_down: the provider asks for fewer calls although the limits are kept. Halve the rate; it recovers by itself.
-- Takes  name.
update quotas as q
set
    slowed = greatest(0.05, least(1, q.slowed + extract(epoch from clock_timestamp() - q.slowed_at) / 120) / 2),
    slowed_at = clock_timestamp(),
    epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and q.slowed_at < clock_timestamp() - interval '1 second'; -- once per second
