-- set_bucket: change a bucket's limits for the whole fleet at once. Granted calls that have not started ask again, and
-- what was used ahead of time is paid back at the new rate (quotas_rescale).
-- Takes  name; requests_per_minute, tokens_per_minute, null: unchanged; pinned boolean: workers' settings do not
--        replace these limits.
-- Gives  the bucket; no row if it does not exist, or if it counts no tokens and a token limit is given.
update quotas as q
set
    requests_per_minute = coalesce(%(requests_per_minute)s::integer, q.requests_per_minute),
    tokens_per_minute = coalesce(%(tokens_per_minute)s::integer, q.tokens_per_minute),
    pinned = %(pinned)s,
    epoch = (q.epoch + 1) %% 2000000000
where q.name = %(name)s and (%(tokens_per_minute)s::integer is null or q.tokens_per_minute is not null)
returning q.name, q.requests_per_minute, q.tokens_per_minute, q.pinned;
