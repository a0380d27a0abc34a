-- record_usage: record one paid call without a job. `save_checkpoint` records the calls of jobs.
-- Takes  instance_id: the site it is recorded for, which need not exist; provider, model, tokens_in, tokens_cached,
--        tokens_out, cost_usd (null: the model has no price).
-- Gives  one row without meaning.
select
    add_usage(
        array[
            row(
                date_trunc('hour', now(), 'UTC'), %(provider)s::text, %(model)s::text, %(instance_id)s::text, 1,
                %(tokens_in)s::bigint, %(tokens_cached)s::bigint, %(tokens_out)s::bigint,
                least(99999999, coalesce(%(cost_usd)s::numeric, 0)), (%(cost_usd)s::numeric is null)::integer,
                0, 0, 0, 0
            )::provider_usage
        ]
    ) as added;
