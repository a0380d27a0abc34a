-- forget_told: drop the limits that a vendor told of long ago; those of the settings hold again until it tells anew.
-- Takes  older_than_s.
-- Gives  the name of each bucket changed.
-- Locks  those buckets, skipping the ones that others hold.
update quotas as q
set vendor_requests_per_minute = null, vendor_tokens_per_minute = null
where q.name in (
    select o.name
    from quotas as o
    where
        (o.vendor_requests_per_minute is not null or o.vendor_tokens_per_minute is not null)
        and o.learned_at < clock_timestamp() - make_interval(secs => %(older_than_s)s)
    for update skip locked
)
returning q.name;
