-- join_bucket: make a bucket unless it is there. For a guest of the fleet, whose settings are not the fleet's.
-- Takes  name, provider, requests_per_minute, tokens_per_minute (null: not counted), burst_s.
insert into quotas (name, provider, requests_per_minute, tokens_per_minute, burst_s)
values (%(name)s, %(provider)s, %(requests_per_minute)s::integer, %(tokens_per_minute)s::integer, %(burst_s)s::real)
on conflict (name) do nothing;
