-- remove_idle: remove the buckets of sites that were not called for a long time, unless a person has set their limits.
-- Takes  idle_s.
-- Gives  the name of each bucket removed.
-- Locks  those buckets, skipping the ones that other transactions have locked. A worker that has a bucket in memory has
--        used it recently, or creates it again before its use: see ensure_bucket.
delete from quotas as q
where q.name in (
    select i.name
    from quotas as i
    where
        i.provider = 'wix'
        and not i.pinned
        and greatest(i.updated_at, i.blocked_until) < clock_timestamp() - make_interval(secs => %(idle_s)s)
    for update skip locked
)
returning q.name;
