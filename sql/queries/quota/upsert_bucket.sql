-- upsert_bucket: make a bucket, or give it the limits of the settings now in force, unless a person has set them.
-- Takes  name, provider, requests_per_minute, tokens_per_minute (null: not counted).
insert into quotas as q (name, provider, requests_per_minute, tokens_per_minute)
values (%(name)s, %(provider)s, %(requests_per_minute)s::integer, %(tokens_per_minute)s::integer)
on conflict (name) do update
set
    requests_per_minute = excluded.requests_per_minute,
    tokens_per_minute = excluded.tokens_per_minute,
    requests_clock = least(q.requests_clock, clock_timestamp() + make_interval(secs => q.burst_s)),
    tokens_clock = least(q.tokens_clock, clock_timestamp() + make_interval(secs => q.burst_s)),
    epoch = q.epoch + 1
where
    not q.pinned
    and (q.requests_per_minute, q.tokens_per_minute)
    is distinct from (excluded.requests_per_minute, excluded.tokens_per_minute);
