-- ensure_bucket: create a bucket before its use, or keep it from being removed as idle. It gets the caller's limits
-- unless a person has set them.
-- Takes  name, provider, requests_per_minute, tokens_per_minute (null: not counted), burst_s.
insert into quotas as q (name, provider, requests_per_minute, tokens_per_minute, burst_s)
values (%(name)s, %(provider)s, %(requests_per_minute)s::integer, %(tokens_per_minute)s::integer, %(burst_s)s::real)
on conflict (name) do update
set
    requests_per_minute = case when q.pinned then q.requests_per_minute else excluded.requests_per_minute end,
    tokens_per_minute = case when q.pinned then q.tokens_per_minute else excluded.tokens_per_minute end,
    burst_s = excluded.burst_s,
    updated_at = clock_timestamp();
