-- record_usage: record one paid call without a job. `save_checkpoint` records the calls of jobs.
-- Takes  instance_id: the site it is recorded for, which need not exist; provider, model, tokens_in, tokens_cached,
--        tokens_out, cost_usd (null: the model has no price).
insert into provider_usage as u (
    hour, provider, model, instance_id, requests, tokens_in, tokens_cached, tokens_out, cost_usd, unpriced
)
values (
    date_trunc('hour', now(), 'UTC'), %(provider)s, %(model)s, %(instance_id)s, 1, %(tokens_in)s, %(tokens_cached)s,
    %(tokens_out)s, least(99999999, coalesce(%(cost_usd)s::numeric, 0)), (%(cost_usd)s::numeric is null)::integer
)
on conflict (hour, provider, model, instance_id) do update
set
    requests = least(1000000000000000, u.requests + 1),
    tokens_in = least(1000000000000000, u.tokens_in + excluded.tokens_in),
    tokens_cached = least(1000000000000000, u.tokens_cached + excluded.tokens_cached),
    tokens_out = least(1000000000000000, u.tokens_out + excluded.tokens_out),
    cost_usd = least(99999999, u.cost_usd + excluded.cost_usd),
    unpriced = least(1000000000000000, u.unpriced + excluded.unpriced);
