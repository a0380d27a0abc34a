-- save_checkpoint: store a finished stage or effect, and the next stage. Fenced. Idempotent: the same call repeated
-- after a lost response changes nothing. Another output of the same name adds its cost to that of the first.
-- Takes  worker_id uuid; job_id; attempt; stage: the checkpoint's name; output jsonb; next_stage, null: unchanged;
--        model, prompt_version, tokens_in, tokens_cached, tokens_out, cost_usd, duration_s, provider;
--        wasted boolean: the call was paid for and its answer is not usable; replaces text[]: checkpoints whose calls
--        are wasted now, because the post uses this one instead (a paid one always replaces its own name);
--        made_of jsonb: for the source, its input: source_type, source_id, source_data, settings; else null.
-- Gives  one row; no row if the attempt has lost its claim: then nothing was written.
-- Locks  the job.
with held as (
    select g.id, g.instance_id
    from blog_generations as g
    where is_attempt(g, %(job_id)s, %(attempt)s, %(worker_id)s)
    for no key update
),

-- Paid calls that the post does not use, because this checkpoint replaces them.
replaced as (
    select s.stage, s.provider, s.model, s.requests - s.wasted as calls, coalesce(s.cost_usd, 0) - s.wasted_usd as usd
    from generation_stages as s
    join held as h on s.generation_id = h.id
    where
        s.wasted < s.requests
        and (s.attempt, s.output, s.stage) is distinct from (%(attempt)s, %(output)s::jsonb, %(stage)s)
        and (s.stage = any (%(replaces)s::text[]) or (s.stage = %(stage)s and %(model)s::text is not null))
),

own as (
    select
        (%(model)s::text is not null)::integer as calls,
        coalesce(%(cost_usd)s::numeric, 0) as usd,
        %(model)s::text is not null and %(wasted)s::boolean as wasted
),

saved as (
    insert into generation_stages as s (
        generation_id, stage, output, model, prompt_version, tokens_in, tokens_cached, tokens_out, cost_usd,
        duration_s, attempt, provider, requests, wasted, wasted_usd, made_of
    )
    select
        h.id, %(stage)s, %(output)s::jsonb, %(model)s, %(prompt_version)s, %(tokens_in)s, %(tokens_cached)s,
        %(tokens_out)s, %(cost_usd)s::numeric, %(duration_s)s, %(attempt)s, %(provider)s, o.calls,
        case when o.wasted then o.calls else 0 end, case when o.wasted then o.usd else 0 end, m.made_of
    from held as h
    cross join own as o
    cross join lateral (
        select case
            when d.given is not null then made_of(d.given ->> 0, d.given ->> 1, d.given -> 2, d.given -> 3)
        end as made_of
        from (select %(made_of)s::jsonb as given) as d
    ) as m
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
        attempt = excluded.attempt,
        provider = coalesce(excluded.provider, s.provider),
        requests = least(1000000000, s.requests + excluded.requests),
        wasted = least(1000000000, case when excluded.requests > 0 then s.requests else s.wasted end + excluded.wasted),
        wasted_usd = least(
            999999,
            case when excluded.requests > 0 then coalesce(s.cost_usd, 0) else s.wasted_usd end + excluded.wasted_usd
        ),
        made_of = excluded.made_of
    where (s.attempt, s.output) is distinct from (excluded.attempt, excluded.output)
    returning s.generation_id
),

-- Calls that a retry by a person has removed, and that the ledger does not count as waste yet.
owed as (
    select s.stage, b.provider, b.model, b.calls, b.usd
    from held as h
    join generation_stages as s on s.generation_id = h.id
    cross join lateral jsonb_to_recordset(s.output -> 'bill') as b (
        provider text, model text, calls integer, usd numeric
    )
    where
        s.stage in ('source.forgotten', 'ideas.forgotten', 'content.forgotten', 'image.forgotten')
        and jsonb_typeof(s.output -> 'bill') = 'array'
        and exists (select from saved)
),

settled as (
    update generation_stages as s
    set output = s.output - 'bill'
    from held as h
    where s.generation_id = h.id and s.stage in (select o.stage from owed as o)
),

wasted as (
    update generation_stages as s
    set wasted = s.requests, wasted_usd = coalesce(s.cost_usd, 0)
    from held as h
    where
        s.generation_id = h.id
        and s.stage in (select r.stage from replaced as r where r.stage <> %(stage)s)
        and exists (select from saved)
),

-- The cost is in the ledger now, so the hold ends.
advanced as (
    update blog_generations as g
    set
        stage = coalesce(%(next_stage)s::text, g.stage),
        rescues = case when %(next_stage)s::text is null then g.rescues else 0 end, -- it makes progress, so it is no suspect
        lone_rescues = case when %(next_stage)s::text is null then g.lone_rescues else 0 end,
        error = case when %(next_stage)s::text is null then g.error end, -- the obstacle is gone
        held_usd = greatest(0, g.held_usd - p.paid_usd)
    from held as h
    cross join lateral (
        select case when exists (select from saved) then coalesce(%(cost_usd)s::numeric, 0) else 0 end as paid_usd
    ) as p
    where g.id = h.id and (%(next_stage)s::text is not null or (g.held_for = %(attempt)s and p.paid_usd > 0))
),

scored as (
    select u.provider, u.model, u.score_sum as score
    from held as h
    cross join score_usage(
        h.id,
        h.instance_id,
        case
            when jsonb_typeof(%(output)s::jsonb -> 'score') = 'number' then (%(output)s::jsonb ->> 'score')::integer
        end
    ) as u
    where %(stage)s = 'content' and u.score_sum is not null and exists (select from saved)
),

paid as (
    select
        %(provider)s::text as provider, %(model)s::text as model, o.calls, %(tokens_in)s::bigint as tokens_in,
        %(tokens_cached)s::bigint as tokens_cached, %(tokens_out)s::bigint as tokens_out, o.usd,
        (%(cost_usd)s::numeric is null)::integer as unpriced,
        case when o.wasted then o.calls else 0 end as wasted, case when o.wasted then o.usd else 0 end as wasted_usd,
        0 as posts, 0 as score
    from own as o
    where o.calls > 0 and exists (select from saved)
    union all
    select c.provider, c.model, 0, 0, 0, 0, 0, 0, 0, 0, 1, c.score
    from scored as c
    union all
    select r.provider, r.model, 0, 0, 0, 0, 0, 0, r.calls, r.usd, 0, 0
    from replaced as r
    where r.provider is not null and r.model is not null and exists (select from saved)
    union all
    select o.provider, o.model, 0, 0, 0, 0, 0, 0, o.calls, o.usd, 0, 0
    from owed as o
),

spent as materialized (
    select add_usage(array_agg(u.usage)) as done
    from (
        select
            row(
                date_trunc('hour', now(), 'UTC'), p.provider, p.model, h.instance_id, sum(p.calls), sum(p.tokens_in),
                sum(p.tokens_cached), sum(p.tokens_out), sum(p.usd), sum(p.unpriced), sum(p.wasted), sum(p.wasted_usd),
                sum(p.posts), sum(p.score)
            )::provider_usage as usage
        from paid as p
        cross join held as h
        group by p.provider, p.model, h.instance_id
        order by p.provider, p.model, h.instance_id
    ) as u
)

select h.id as job_id from held as h cross join spent;
