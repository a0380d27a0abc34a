-- acquire_single_flight: acquire the single-flight lock of a key, unless another attempt has it.
-- Takes  key; job_id, attempt: the new owner; ttl_s: seconds until the lock expires.
-- Gives  one row: key, if the caller has the lock, now or already; no row if another attempt has it. A lock also ends
--        when it expires, and when the attempt of its owner ends: settled, or rescued from a dead worker.
-- Locks  the row of the key.
insert into cache as c (key, value, expires_at)
values (
    %(key)s,
    jsonb_build_object('job_id', %(job_id)s::bigint, 'attempt', %(attempt)s::integer),
    now() + make_interval(secs => least(1e9, %(ttl_s)s::double precision))
)
on conflict (key) do update
set value = excluded.value, expires_at = excluded.expires_at
where
    c.expires_at <= now()
    or c.value = excluded.value
    or exists (
        select from blog_generations as g
        where
            g.id = (c.value ->> 'job_id')::bigint
            -- A statement that began before the owner's claim sees an older attempt: the owner may still run.
            and g.attempt >= (c.value ->> 'attempt')::integer
            and (g.attempt > (c.value ->> 'attempt')::integer or g.status <> 'PROCESSING')
    )
returning c.key;
