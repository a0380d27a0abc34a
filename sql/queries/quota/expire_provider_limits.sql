-- expire_provider_limits: delete limits that a provider reported long ago. The limits of the settings hold again until
-- the provider reports new ones.
-- Takes  older_than_s.
-- Gives  the name of each bucket changed.
-- Locks  those buckets, skipping the ones that other transactions have locked.
update quotas as q
set reported_requests_per_minute = null, reported_tokens_per_minute = null
where q.name in (
    select o.name
    from quotas as o
    where
        (o.reported_requests_per_minute is not null or o.reported_tokens_per_minute is not null)
        and o.learned_at < clock_timestamp() - make_interval(secs => %(older_than_s)s)
    for update skip locked
)
returning q.name;
