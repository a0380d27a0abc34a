-- learn: store what the provider's headers report about its own bucket. The latest report counts.
-- Takes  name; requests_limit, tokens_limit (null: not reported); requests_left, tokens_left: fractions, null: not
--        reported.
update quotas as q
set
    reported_requests_per_minute = coalesce(%(requests_limit)s::integer, q.reported_requests_per_minute),
    reported_tokens_per_minute = coalesce(%(tokens_limit)s::integer, q.reported_tokens_per_minute),
    requests_left = %(requests_left)s::real,
    tokens_left = %(tokens_left)s::real,
    learned_at = clock_timestamp()
where q.name = %(name)s;
