-- upsert_bucket: create a bucket, or set its limits to those of the settings unless a person has set them.
-- Takes  name, provider, requests_per_minute, tokens_per_minute (null: not counted), burst_s.
insert into quotas as q (name, provider, requests_per_minute, tokens_per_minute, burst_s)
values (%(name)s, %(provider)s, %(requests_per_minute)s::integer, %(tokens_per_minute)s::integer, %(burst_s)s::real)
on conflict (name) do update
set
    requests_per_minute = excluded.requests_per_minute,
    tokens_per_minute = excluded.tokens_per_minute,
    burst_s = excluded.burst_s,
    epoch = (q.epoch + 1) %% 2000000000
where
    not q.pinned
    and (q.requests_per_minute, q.tokens_per_minute, q.burst_s)
    is distinct from (excluded.requests_per_minute, excluded.tokens_per_minute, excluded.burst_s);
