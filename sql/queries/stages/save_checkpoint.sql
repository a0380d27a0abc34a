-- save_checkpoint: store a finished stage or effect, and name the stage that comes next. Fenced. The same once more,
-- because an answer was lost, changes nothing; another output of the same name adds its cost to the first's.
-- Takes  worker_id uuid; job_id; attempt; stage: the checkpoint's name; output jsonb; next_stage, null: unchanged;
--        model, prompt_version, tokens_in, tokens_cached, tokens_out, cost_usd, duration_s, provider.
-- Gives  one row, or none when the claim is no longer the caller's: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where
        g.id = %(job_id)s
        and g.attempt = %(attempt)s
        and g.worker_id = %(worker_id)s::uuid
        and g.status = 'PROCESSING'
    for no key update
),

-- Its first answer was of no use, or there would not be another.
again as (
    select s.generation_id
    from generation_stages as s
    join held as h on s.generation_id = h.id
    where s.stage = %(stage)s and s.model is not null
),

saved as (
    insert into generation_stages as s (
        generation_id, stage, output, model, prompt_version, tokens_in, tokens_cached, tokens_out, cost_usd,
        duration_s, attempt
    )
    select
        h.id, %(stage)s, %(output)s::jsonb, %(model)s, %(prompt_version)s, %(tokens_in)s, %(tokens_cached)s,
        %(tokens_out)s, %(cost_usd)s::numeric, %(duration_s)s, %(attempt)s
    from held as h
    on conflict (generation_id, stage) do update
    set
        output = excluded.output,
        model = excluded.model,
        prompt_version = excluded.prompt_version,
        tokens_in = least(1000000000, s.tokens_in + excluded.tokens_in),
        tokens_cached = least(1000000000, s.tokens_cached + excluded.tokens_cached),
        tokens_out = least(1000000000, s.tokens_out + excluded.tokens_out),
        cost_usd = case
            when coalesce(s.cost_usd, excluded.cost_usd) is not null
                then least(999999, coalesce(s.cost_usd + excluded.cost_usd, excluded.cost_usd, s.cost_usd))
        end,
        duration_s = excluded.duration_s,
        attempt = excluded.attempt
    where (s.attempt, s.output) is distinct from (excluded.attempt, excluded.output)
    returning s.generation_id
),

-- What was paid is in the ledger now, and reserved no more.
advanced as (
    update blog_generations as g
    set
        stage = coalesce(%(next_stage)s::text, g.stage),
        rescues = case when %(next_stage)s::text is null then g.rescues else 0 end, -- it gets on: it kills no workers
        lone_rescues = case when %(next_stage)s::text is null then g.lone_rescues else 0 end,
        error = case when %(next_stage)s::text is null then g.error end, -- what was in its way is no more
        reserved_usd = greatest(0, g.reserved_usd - p.paid_usd)
    from held as h
    cross join lateral (
        select case when exists (select from saved) then coalesce(%(cost_usd)s::numeric, 0) else 0 end as paid_usd
    ) as p
    where g.id = h.id and (%(next_stage)s::text is not null or (g.reserved_for = %(attempt)s and p.paid_usd > 0))
),

spent as (
    insert into provider_usage as u (
        hour, provider, model, instance_id, requests, tokens_in, tokens_cached, tokens_out, cost_usd, unpriced, wasted,
        wasted_usd
    )
    select
        date_trunc('hour', now(), 'UTC'), %(provider)s, %(model)s, h.instance_id, 1, %(tokens_in)s, %(tokens_cached)s,
        %(tokens_out)s, c.cost_usd, (%(cost_usd)s::numeric is null)::integer, w.wasted::integer,
        w.wasted::integer * c.cost_usd
    from held as h
    cross join lateral (select coalesce(%(cost_usd)s::numeric, 0) as cost_usd) as c
    cross join lateral (
        select
            exists (select from again)
            or %(stage)s ~ '([.][a-z_]*repair|[.]softened|_truncated|_refused|_useless|_unanswered)$' as wasted
    ) as w
    where %(model)s::text is not null and exists (select from saved)
    on conflict (hour, provider, model, instance_id) do update
    set
        requests = least(1000000000000000, u.requests + 1),
        tokens_in = least(1000000000000000, u.tokens_in + excluded.tokens_in),
        tokens_cached = least(1000000000000000, u.tokens_cached + excluded.tokens_cached),
        tokens_out = least(1000000000000000, u.tokens_out + excluded.tokens_out),
        cost_usd = least(99999999, u.cost_usd + excluded.cost_usd),
        unpriced = least(1000000000000000, u.unpriced + excluded.unpriced),
        wasted = least(1000000000000000, u.wasted + excluded.wasted),
        wasted_usd = least(99999999, u.wasted_usd + excluded.wasted_usd)
)

select h.id as job_id from held as h;
