-- remember: store a value under a key, in place of what was there. `prune` removes what has expired.
-- Takes  key; value jsonb; ttl_s: seconds it is good for, null: for good.
insert into cache as c (key, value, expires_at)
values (
    %(key)s,
    %(value)s::jsonb,
    coalesce(now() + make_interval(secs => least(1e9, %(ttl_s)s::double precision)), '9999-12-31 00:00:00+00')
)
on conflict (key) do update
set value = excluded.value, expires_at = excluded.expires_at;
