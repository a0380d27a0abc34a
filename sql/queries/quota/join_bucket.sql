-- join_bucket: create a bucket if it does not exist. For processes such as preview, whose settings are not the fleet's.
-- Takes  name, provider, requests_per_minute, tokens_per_minute (null: not counted), burst_s.
insert into quotas (name, provider, requests_per_minute, tokens_per_minute, burst_s)
values (%(name)s, %(provider)s, %(requests_per_minute)s::integer, %(tokens_per_minute)s::integer, %(burst_s)s::real)
on conflict (name) do nothing;
