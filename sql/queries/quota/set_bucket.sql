-- set_bucket: change a bucket's limits for the whole fleet, now. Calls granted under the old ones ask again.
-- Takes  name; requests_per_minute, tokens_per_minute, null: as it is; pinned boolean: whether they outlast a worker's
--        settings.
-- Gives  the bucket, or no row when there is none of that name, or it counts no tokens and shall have a limit of them.
update quotas as q
set
    requests_per_minute = coalesce(%(requests_per_minute)s::integer, q.requests_per_minute),
    tokens_per_minute = coalesce(%(tokens_per_minute)s::integer, q.tokens_per_minute),
    pinned = %(pinned)s,
    epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and (%(tokens_per_minute)s::integer is null or q.tokens_per_minute is not null)
returning q.name, q.requests_per_minute, q.tokens_per_minute, q.pinned;
