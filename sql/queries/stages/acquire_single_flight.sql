-- acquire_single_flight: have the right to buy what is kept under a key, unless another attempt at a job has it.
-- Takes  key; job_id, attempt: whose it is to be; ttl_s: seconds after which it ends by itself.
-- Gives  one row: key, when the right is theirs, now or already; none when it is another's. It is no longer another's
--        once it has expired, or its attempt is over: settled, or rescued from a dead worker.
-- Locks  the key's row.
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
            -- Older than the buyer's is what a statement sees that began before the buyer's claim: it tells of no end.
            and g.attempt >= (c.value ->> 'attempt')::integer
            and (g.attempt > (c.value ->> 'attempt')::integer or g.status <> 'PROCESSING')
    )
returning c.key;
