-- save_paid: save_checkpoint for the first paid call under this name, which replaces nothing. Fenced. Idempotent.
-- Takes  worker_id uuid; job_id; attempt; stage: the checkpoint's name; output jsonb; provider; model; prompt_version;
--        tokens_in; tokens_cached; tokens_out; cost_usd; wasted boolean: see save_checkpoint; duration_s.
-- Gives  one row: stored boolean, false: there is another call under this name, see save_checkpoint, and nothing was
--        written; no row if the attempt has lost its claim: then nothing was written either.
-- Locks  the job.
with held as (
    select g.id, g.instance_id, g.held_usd, g.held_for
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

saved as (
    insert into generation_stages as s (
        generation_id, stage, output, model, prompt_version, tokens_in, tokens_cached, tokens_out, cost_usd,
        duration_s, attempt, provider, requests, wasted, wasted_usd
    )
    select
        h.id, %(stage)s, %(output)s::jsonb, %(model)s, %(prompt_version)s, %(tokens_in)s, %(tokens_cached)s,
        %(tokens_out)s, %(cost_usd)s::numeric, %(duration_s)s, %(attempt)s, %(provider)s, 1,
        %(wasted)s::boolean::integer, case when %(wasted)s::boolean then coalesce(%(cost_usd)s::numeric, 0) else 0 end
    from held as h
    on conflict (generation_id, stage) do nothing
    returning s.wasted, s.wasted_usd
),

-- The cost is in the ledger now, so the hold ends.
released as (
    update blog_generations as g
    set held_usd = greatest(0, g.held_usd - %(cost_usd)s::numeric)
    from held as h
    where
        g.id = h.id and h.held_for = %(attempt)s and h.held_usd > 0 and %(cost_usd)s::numeric > 0
        and exists (select from saved)
)

select
    -- If the same call is stored already, this statement was sent again because its answer was lost.
    s.wasted is not null or exists (
        select from generation_stages as o
        where
            o.generation_id = h.id and o.stage = %(stage)s and o.attempt = %(attempt)s and o.output = %(output)s::jsonb
    ) as stored,
    case
        when s.wasted is not null then add_usage(array[
            row(
                date_trunc('hour', now(), 'UTC'), %(provider)s::text, %(model)s::text, h.instance_id, 1,
                %(tokens_in)s::bigint, %(tokens_cached)s::bigint, %(tokens_out)s::bigint,
                coalesce(%(cost_usd)s::numeric, 0), (%(cost_usd)s::numeric is null)::integer, s.wasted, s.wasted_usd, 0, 0
            )::provider_usage
        ])
    end as spent
from held as h
left join saved as s on true;
