-- remember: cache a value under a key, in place of an earlier one. `prune` removes expired values.
-- Takes  key; value jsonb; ttl_s: seconds until it expires, null: never.
insert into cache as c (key, value, expires_at)
values (
    %(key)s,
    %(value)s::jsonb,
    coalesce(now() + make_interval(secs => least(1e9, %(ttl_s)s::double precision)), '9999-12-31 00:00:00+00')
)
on conflict (key) do update
set value = excluded.value, expires_at = excluded.expires_at;
